//! The services behind the gateway: where they are and how they are.
//!
//! Each is one [`Endpoint`]. [`HealthCheck`] asks them whether they are ready, so that the gateway's own
//! readiness can name the one that is not.
//!
//! - *Owns*: the client that asks.
//! - *Receives*: nothing but the question how it is.
//! - *Sends*: nothing; it writes down in each endpoint what it heard.
//! - *When it fails*: the endpoints keep what was heard last; the next generation asks at once.

mod config;
mod endpoint;
mod health;

pub use config::UpstreamConfig;
pub use endpoint::{Endpoint, Health, InvalidEndpoint};
pub use health::{HealthCheck, HealthCheckState};
