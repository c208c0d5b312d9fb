//! A private RabbitMQ node, run from an installed `rabbitmq-server` without root and without leaving anything behind.
//!
//! A node has its own folder, its own two ports on the loopback interface and no `epmd`, so any number of them run side
//! by side and beside the machine's own broker. It can be killed, stopped, blocked and started again on the same data,
//! which is what the tests do to it. When the process that started it ends, by whatever cause, so does the node.

mod error;
pub use error::RabbitError;

mod preflight;
pub use preflight::{Server, preflight};

mod install;
pub use install::Installation;

mod settings;

mod node;
pub use node::Node;

pub use crate::watched::Keep;

mod registered;
pub use registered::unregistered;
