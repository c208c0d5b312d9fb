//! An AMQP 0-9-1 broker in one process, so that Warren runs and is tested where nothing is installed.

mod message;
pub use message::{BadMessage, Message};

pub mod store;

pub mod faults;

mod process;
pub use process::{EmbeddedError, EmbeddedNode};
