//! A TCP proxy that does to a connection what networks do: for real RabbitMQ, for HTTP, for whatever speaks TCP.
//!
//! It hands on bytes, ends (FIN) and resets (RST) as they come, each direction by itself, until it is told otherwise:
//! that they take long, trickle, get stuck or vanish, that connections end in one way or another, or are refused.
//! `warren fault-proxy` is the same for a person.

mod proxy;
pub use proxy::FaultProxy;

mod state;
pub use state::{BOTH, Direction};

mod connection;

mod lane;

mod command;

mod options;
pub use options::{Options, main};

#[cfg(test)]
mod tests;
