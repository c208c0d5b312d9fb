//! Asks the services on behalf of the clients.
//!
//! [`ProxyActor`] lives on an HTTP worker, one each, and owns that worker's connections to the services. A
//! request comes to it as its head and the end of a channel ([`RequestBody`]); what it answers is the head of
//! the service's answer and a body that is still on its way. So the bytes of both bodies stay on the worker
//! and flow as fast as the slower side takes them.
//!
//! - *Owns*: a pool of kept-alive connections to every service.
//! - *Receives*: [`Forward`].
//! - *Sends*: nothing; it answers with the service's answer or a [`ForwardError`].
//! - *When it fails*: what is on its way goes on without it; the next generation connects anew.

mod actor;
mod config;
mod forward;

mod headers;
mod networks;

mod body;

pub use actor::{ProxyActor, ProxyState};
pub use body::{BodySender, Gone, RequestBody};
pub use config::ProxyConfig;
pub use forward::{Failure, Forward, ForwardError};
pub use headers::{Sender, Signature, to_client, to_service};
pub use networks::{InvalidNetwork, Networks};
