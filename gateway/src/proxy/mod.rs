//! Asks the services on behalf of the clients: the gateway's path for every byte.
//!
//! The public port speaks HTTP/1.1 by code of our own ([`http1`](crate::http1)), since nothing else costs the
//! gateway as much as this path does. Each worker is one thread, and each connection of a client is one task on it
//! ([`Session`]): it reads a head, decides what becomes of the request (`decide`), takes a connection to a service
//! (`lines`), writes the head on (`request`), and passes the answer back (`answer`), all without a hop to another
//! task, and with memory that is used again. Both bodies flow as fast as the slower side takes them (`body`,
//! `download`).
//!
//! [`ProxyActor`] lives on each worker:
//!
//! - *Owns*: the worker's connections to the services that have no request on them.
//! - *Receives*: nothing but the question how it is. The exchanges of its worker borrow from it directly.
//! - *Sends*: nothing.
//! - *When it fails*: what is on its way goes on with the connection that it has; until the next generation is
//!   there, new requests are refused with 503.

mod actor;
mod worker;

mod session;

mod decide;
mod own;
mod refusal;

mod conversation;
mod exchange;

mod answer;
mod body;
mod cookies;
mod download;
mod lines;
mod request;
mod tunnel;
mod uploads;

mod alarm;
mod date;
mod origin;
mod spans;
mod wire;

mod metrics;

pub use actor::{ProxyActor, ProxyState};
pub use metrics::{ProxyMetrics, Reload};
pub use session::{Session, too_many_connections};
pub use uploads::Uploads;
pub use worker::{Front, Shared, Worker};

#[cfg(test)]
mod tests;
