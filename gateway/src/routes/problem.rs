//! What the gateway itself answers when a request cannot be passed on.

use std::{error::Error, time::Duration};

use actix_web::http::StatusCode;
use common::{http::Problem, supervision::AskError, telemetry::trace::Origin};

use super::upload::BodyFault;
use crate::{
    proxy::{Failure, ForwardError},
    routing::UnsafePath,
};

/// When a client may try again.
const RETRY: Duration = Duration::from_secs(1);

/// Why there is no answer to pass on.
pub enum Unanswered {
    /// The actor was not asked, or did not reply.
    Unasked(AskError),
    /// The service did not answer.
    Failed(ForwardError),
}

pub fn no_route() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not found")
}

pub fn unsafe_path(error: &UnsafePath) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid path").detail(error.to_string())
}

pub fn bad_request(what: &'static str) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "bad request").detail(what)
}

pub fn bad_body(fault: BodyFault) -> Problem {
    match fault {
        BodyFault::Slow => {
            Problem::new(StatusCode::REQUEST_TIMEOUT, "request timeout").detail("the body came too slowly")
        }
        BodyFault::Broken => bad_request("the body is malformed or incomplete"),
    }
}

/// A connection without another end cannot have sent a request.
pub fn no_peer() -> Problem {
    bad_request("the connection has gone")
}

pub fn busy() -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too busy")
        .detail("too many requests are on their way")
        .retry_after(RETRY)
}

/// Logs the cause and says as much of it as concerns the client.
pub fn unanswered(upstream: &str, why: &Unanswered, origin: &Origin) -> Problem {
    let (problem, cause): (_, &dyn Error) = match why {
        Unanswered::Unasked(error @ AskError::Late { .. }) => (
            Problem::new(StatusCode::GATEWAY_TIMEOUT, "gateway timeout")
                .detail(format!("the {upstream} service did not answer in time")),
            error,
        ),
        Unanswered::Unasked(error) => {
            (Problem::new(StatusCode::SERVICE_UNAVAILABLE, "gateway restarting").retry_after(RETRY), error)
        }
        Unanswered::Failed(error) => {
            let problem = match error.failure() {
                Failure::Connect => {
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("{upstream} unavailable"))
                        .detail(format!("the {upstream} service cannot be reached"))
                        .retry_after(RETRY)
                }
                Failure::Answer => Problem::new(StatusCode::BAD_GATEWAY, "bad gateway")
                    .detail(format!("the {upstream} service gave no valid answer")),
            };
            (problem, error)
        }
    };
    log::warn!(
        "event=unanswered upstream={upstream} status={} request_id={} cause={:?}",
        problem.status().as_u16(),
        origin.request_id,
        chain(cause),
    );
    problem
}

fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(next) = source {
        text.push_str(": ");
        text.push_str(&next.to_string());
        source = next.source();
    }
    text
}
