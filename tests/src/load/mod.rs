//! Customers of the system, what they were told, and the audit whether it is so.
//!
//! [`Shoppers`] register, order and cancel through a [`Door`] and write into a [`Ledger`] what they were told.
//! [`audit`] compares the ledger with what the services hold, to the last order. Tests panic over what it finds, and
//! chaos prints it.

mod door;
pub use door::Door;

mod shoppers;
pub use shoppers::{Habits, Shoppers};

mod shopper;
pub use shopper::Shopper;

mod wish;

mod ledger;
pub use ledger::Ledger;

pub mod audit;

mod under_way;
pub use under_way::under_way;
