//! How the world talks to a service: the server, what every request gets, and a client.
//!
//! A service brings its routes; this room brings the rest. Each request gets an [`Origin`] (accepted or made),
//! an access line, metrics by route pattern, and, where it goes wrong, a [`Problem`] that names its id. Each
//! service shows [`Probes`] and its insides ([`Internal`]), and stops without losing a request that it took
//! ([`ServerHandle::stop_gracefully`]).
//!
//! [`Origin`]: crate::telemetry::trace::Origin

mod config;
mod server;

mod doorkeeper;
mod drain;
mod tracking;

mod deadline;
mod origin;
mod problem;

mod access_problem;
mod caller;
mod fields;
mod idempotency;
mod json_body;
mod paging;
mod readable;
mod store_problem;

mod metrics;

mod no_traffic;

mod faults;
mod history;
mod internal;
mod keeper;
mod log_level;
mod operator_body;
mod probes;
mod report;

pub mod signals;

mod healthcheck;

mod client;
mod spans;

pub use access_problem::CHALLENGE;
/// A status code, as a [`Problem`] takes it.
pub use actix_web::http::StatusCode;
pub use caller::{Caller, ROLE, SUBJECT};
pub use client::{Client, ClientConfig, ClientError, ClientResponse};
pub use config::HttpConfig;
pub use deadline::Deadline;
pub use doorkeeper::{Doorkeeper, Visit};
#[cfg(test)]
pub(crate) use drain::QUIET_MAX;
pub use drain::{Drain, OpenConnection};
mod description;

pub use description::{
    DESCRIPTION_PATH, Description, IdempotencyKeyParam, Refusal, described_otherwise, flaws, member_at,
    shared_components,
};
pub use fields::Fields;
pub use healthcheck::healthcheck;
pub use idempotency::{Carried, KeyedWrites};
pub use internal::Internal;
pub use json_body::JsonBody;
pub(crate) use json_body::is_no_object;
pub use keeper::KEEPER;
pub use log_level::log_level;
pub use metrics::{HttpMetrics, HttpSeries, RouteLabel, Totals};
pub use no_traffic::NoTraffic;
pub use origin::RequestOrigin;
pub use paging::{PageRequest, PageView};
pub use probes::{Condition, ProbeAnswer, Probes, Readiness, ReadinessStatus};
pub use problem::{FieldError, Problem, RenderedProblem};
pub use readable::readable;
pub use report::ProcessReport;
pub use server::{Routes, Server, ServerHandle, listening_socket};
pub use spans::{answered, failed_with};

#[cfg(test)]
mod tests;
