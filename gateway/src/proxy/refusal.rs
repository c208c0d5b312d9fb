//! What the gateway itself answers when a request is not passed on, or comes back without an answer.

use std::time::Duration;

use common::http::{Problem, StatusCode};

use super::body::BodyFault;
use crate::{guard::Denied, http1::HeadFault, routing::UnsafePath, upstream::Unavailable};

/// When a client may try again.
const RETRY: Duration = Duration::from_secs(1);

/// The methods that are passed on.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// Why a request gets no answer of a service.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// What the client is told.
    pub problem: Problem,
    /// One word for metrics and logs.
    pub reason: &'static str,
}

impl Refusal {
    fn new(reason: &'static str, problem: Problem) -> Self {
        Self { problem, reason }
    }

    /// The status that it is answered with.
    pub fn status(&self) -> u16 {
        self.problem.status().as_u16()
    }
}

pub fn head(fault: HeadFault) -> Refusal {
    let (status, error) = match fault.status() {
        431 => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head too large"),
        505 => (StatusCode::HTTP_VERSION_NOT_SUPPORTED, "version not supported"),
        501 => (StatusCode::NOT_IMPLEMENTED, "not implemented"),
        417 => (StatusCode::EXPECTATION_FAILED, "expectation failed"),
        _ => (StatusCode::BAD_REQUEST, "bad request"),
    };
    Refusal::new("malformed", Problem::new(status, error).detail(fault.to_string()))
}

pub fn slow_head() -> Refusal {
    let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "request timeout");
    Refusal::new("slow", problem.detail("the head came too slowly"))
}

pub fn method() -> Refusal {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed").allow(ALLOWED);
    Refusal::new("method", problem)
}

/// For the gateway's own pages.
pub fn not_readable() -> Refusal {
    let problem = Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed").allow("GET, HEAD");
    Refusal::new("method", problem)
}

pub fn no_route() -> Refusal {
    Refusal::new("no_route", Problem::new(StatusCode::NOT_FOUND, "not found"))
}

pub fn unsafe_path(error: UnsafePath) -> Refusal {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "invalid path").detail(error.to_string());
    Refusal::new("unsafe_path", problem)
}

pub fn denied(denied: Denied) -> Refusal {
    Refusal::new(denied.reason(), denied.problem())
}

pub fn limited(retry_after_s: u64) -> Refusal {
    let problem = Problem::new(StatusCode::TOO_MANY_REQUESTS, "too many requests")
        .detail("the limit of this client is used up; RateLimit says when there is more")
        .retry_after(Duration::from_secs(retry_after_s));
    Refusal::new("rate", problem)
}

pub fn too_large(most: u64) -> Refusal {
    let problem = Problem::new(StatusCode::PAYLOAD_TOO_LARGE, "body too large");
    Refusal::new("body_size", problem.detail(format!("at most {most} bytes are taken here")))
}

pub fn busy(what: &'static str) -> Refusal {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too busy")
        .detail("too many requests are on their way")
        .retry_after(RETRY);
    Refusal::new(what, problem)
}

pub fn connections() -> Refusal {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many connections")
        .detail("this address has as many connections open as one client may have")
        .retry_after(RETRY);
    Refusal::new("connections", problem)
}

pub fn upgrade(why: &'static str) -> Refusal {
    let problem = Problem::new(StatusCode::BAD_REQUEST, "protocol not supported").detail(why);
    Refusal::new("upgrade", problem)
}

pub fn preflight() -> Refusal {
    let problem = Problem::new(StatusCode::FORBIDDEN, "origin not allowed")
        .detail("this origin, method or field is not on the list of those that pages may use here");
    Refusal::new("cors", problem)
}

pub fn restarting() -> Refusal {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "gateway restarting").retry_after(RETRY);
    Refusal::new("restarting", problem)
}

pub fn body(fault: BodyFault, most: u64) -> Refusal {
    match fault {
        BodyFault::Slow => {
            let problem = Problem::new(StatusCode::REQUEST_TIMEOUT, "request timeout");
            Refusal::new("slow", problem.detail("the body came too slowly"))
        }
        BodyFault::TooLarge => too_large(most),
        BodyFault::Malformed => {
            let problem = Problem::new(StatusCode::BAD_REQUEST, "bad request");
            Refusal::new("malformed", problem.detail("the body is malformed"))
        }
        // Nobody is left to read it.
        BodyFault::Gone => Refusal::new("gone", Problem::new(StatusCode::BAD_REQUEST, "bad request")),
    }
}

/// No endpoint takes requests just now.
pub fn unavailable(upstream: &str, why: &Unavailable) -> Refusal {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{upstream} unavailable"))
        .detail(format!("the {upstream} service is not asked just now: {why}"))
        .retry_after(why.retry_after);
    Refusal::new("unavailable", problem)
}

/// No connection came about: the service knows nothing of the request.
pub fn unreachable(upstream: &str) -> Refusal {
    let problem = Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{upstream} unavailable"))
        .detail(format!("the {upstream} service cannot be reached"))
        .retry_after(RETRY);
    Refusal::new("unreachable", problem)
}

/// The service took the request and gave no answer that can be passed on: whether it acted on it is unknown.
pub fn no_answer(upstream: &str) -> Refusal {
    let problem = Problem::new(StatusCode::BAD_GATEWAY, "bad gateway")
        .detail(format!("the {upstream} service gave no valid answer"));
    Refusal::new("no_answer", problem)
}

/// As [`no_answer`], because the time was over.
pub fn late(upstream: &str) -> Refusal {
    let problem = Problem::new(StatusCode::GATEWAY_TIMEOUT, "gateway timeout")
        .detail(format!("the {upstream} service did not answer in time"));
    Refusal::new("late", problem)
}
