//! The services behind the gateway: where they are, how they are, and which place takes the next request.
//!
//! Each service is one [`Upstream`] with an [`Endpoint`] for every address at which it listens. Workers ask it
//! for a [`Choice`] and tell that how the exchange went; an endpoint that keeps failing is left alone for a
//! while. [`HealthCheck`] finds the addresses behind the names and asks each endpoint whether it is ready.
//!
//! - *Owns*: the client that asks.
//! - *Receives*: nothing but the question how it is.
//! - *Sends*: nothing; it writes down in each endpoint what it heard.
//! - *When it fails*: the endpoints stay, with what was heard last; the next generation asks at once.

mod upstreams;

mod places;
mod service;
mod state;

mod choice;
mod endpoint;
mod failure;
mod pick;

mod incidents;

mod breaker;
mod window;

mod budget;

mod health;
mod resolve;

mod metrics;

#[cfg(test)]
mod tests;

pub use choice::{Choice, Unavailable, UnavailableReason};
pub use endpoint::{Endpoint, EndpointId, Health};
pub use failure::EndpointFailure;
pub use health::{HealthCheck, HealthCheckState};
pub use service::{Admitted, Upstream};
pub use state::{EndpointState, UpstreamState};
pub use upstreams::Upstreams;
