//! A small AMQP 0-9-1 client that hides nothing: a story says each method, and sees each that comes back, in order.
//!
//! Client libraries are too polite for this: they send no second ack, and hide whether a return came before its confirm.

mod place;
pub use place::{another_channel, channel, connection, named, url};

mod own;
pub use own::Own;

mod login;
pub use login::Login;

mod connection;
pub use connection::Connection;

mod inbox;
pub use inbox::Event;

mod closed;
pub use closed::{Answer, Closed, Scope};

mod declare;
pub use declare::{Exchange, Queue};

mod message;
pub use message::{Delivery, Message, table, text};

mod channel;
pub use channel::{Channel, Confirm};

mod deaths;
pub use deaths::{Death, deaths};
