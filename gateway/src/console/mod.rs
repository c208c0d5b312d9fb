//! The live console: what those who run the system see of it, and do to it, on the gateway's admin port.
//!
//! Read who gets in ([`access`]), whom it asks ([`fleet`]), how many states become one picture ([`board`]) that everybody who
//! watches gets the same bytes of ([`feed`], [`audience`]), how what the services have written down is put together
//! ([`timeline`], [`ledger`]) and what they log is chosen ([`log_level`]), what can be done about events that nobody could
//! handle ([`dead_letters`]) and to break something on purpose ([`experiment`]), and then the endpoints ([`routes`]) and the
//! files of the page ([`page`]).
//!
//! - *Owns*: nothing but sessions and what was heard last; every fact is asked of the service that has it.
//! - *Receives*: requests on the admin port, and nothing from the public one.
//! - *Sends*: `GET /actors` to every process, twice a second, and to the broker how many dead letters wait, every 5 s, while
//!   somebody watches; other questions when they are asked.
//! - *When it fails*: the gateway goes on without it; the next generation of the board asks anew.

pub mod access;

pub mod fleet;

pub mod audience;
pub mod board;
pub mod feed;

pub mod ledger;
pub mod timeline;

pub mod log_level;

pub mod dead_letters;

pub mod experiment;

pub mod page;
pub mod routes;

pub use access::{Access, AdminNames, AdminToken};
pub use audience::Audience;
pub use board::StatusBoard;
pub use dead_letters::{DeadLetterDesk, DeskError, Waiting};
pub use feed::Feed;
pub use fleet::Fleet;
pub use routes::Console;
