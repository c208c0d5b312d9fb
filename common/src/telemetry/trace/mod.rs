//! The thread that ties a request to everything it causes: a W3C trace context and a request id.
//!
//! Both are accepted from the caller or made, logged with every line of the request, passed on over HTTP,
//! and stored with the outbox row, so that they also cross the broker.

mod context;
mod current;
mod request_id;
mod sampling;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use context::{InvalidTraceparent, SpanId, TraceContext};
pub use request_id::RequestId;
pub use sampling::Sampler;
pub(super) use sampling::sample_by;

/// Name of the header that carries a [`TraceContext`], over HTTP and over AMQP.
pub const TRACEPARENT: &str = "traceparent";

/// Name of the header that carries a [`RequestId`], over HTTP and over AMQP.
pub const REQUEST_ID: &str = "x-request-id";

/// What travels with a request and with every event that it causes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The id that the client gave or the gateway made; named in every problem and log line.
    pub request_id: RequestId,
    /// Where in which trace the work belongs.
    pub traceparent: TraceContext,
    /// When this service took the request; `None` where it came another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
}

impl Origin {
    /// Starts a new trace, for work that no request caused.
    pub fn fresh() -> Self {
        Self { request_id: RequestId::fresh(), traceparent: TraceContext::fresh(), accepted_at: None }
    }

    /// Starts a trace that nobody keeps, for what a process asks by itself again and again: whether another one is ready.
    pub fn unrecorded() -> Self {
        Self { request_id: RequestId::fresh(), traceparent: TraceContext::unrecorded(), accepted_at: None }
    }
}
