use std::{
    future::{Ready, ready},
    ops::Deref,
};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::header::HeaderMap};

use jiff::Timestamp;

use crate::telemetry::trace::{Origin, REQUEST_ID, RequestId, TRACEPARENT, TraceContext};

/// The origin of the request at hand.
#[derive(Clone, Debug)]
pub struct RequestOrigin(pub Origin);

impl RequestOrigin {
    /// Returns the origin of `request`.
    pub fn of(request: &HttpRequest) -> Self {
        // Only a request that no server of this room took has none.
        Self(request.extensions().get::<Origin>().cloned().unwrap_or_else(Origin::fresh))
    }
}

impl FromRequest for RequestOrigin {
    type Error = actix_web::Error;
    type Future = Ready<Result<Self, Self::Error>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Ok(Self::of(request)))
    }
}

impl Deref for RequestOrigin {
    type Target = Origin;

    fn deref(&self) -> &Origin {
        &self.0
    }
}

impl From<RequestOrigin> for Origin {
    fn from(origin: RequestOrigin) -> Self {
        origin.0
    }
}

/// Accepts what the caller sent, as a span of its own in the caller's trace, and makes the rest.
pub(super) fn accept_or_make(headers: &HeaderMap) -> Origin {
    let request_id = headers
        .get(REQUEST_ID)
        .and_then(|raw| RequestId::accept(raw.to_str().ok()?))
        .unwrap_or_else(RequestId::fresh);
    // Several make the trace ambiguous: W3C Trace Context section 3.2 lets only one stand.
    let mut contexts = headers.get_all(TRACEPARENT);
    let context = match (contexts.next(), contexts.next()) {
        (Some(raw), None) => raw.to_str().ok().and_then(|raw| raw.parse::<TraceContext>().ok()),
        _ => None,
    };
    let traceparent = context.map_or_else(TraceContext::fresh, TraceContext::child);
    Origin { request_id, traceparent, accepted_at: Some(Timestamp::now()) }
}
