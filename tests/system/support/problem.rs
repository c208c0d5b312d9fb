//! What every refusal looks like, whoever refuses.

use serde_json::Value;
use warren::http::Answer;

/// Checks that the answer is a problem (RFC 9457) with this status and short text that names its request, and returns it.
///
/// # Panics
///
/// With the whole answer when it is not.
#[track_caller]
pub fn problem(answer: &Answer, status: u16, error: &str) -> Value {
    let problem = answer.clone().expect(status).json();

    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer}");
    assert_eq!(problem["error"], error, "{answer}");
    assert_eq!(problem["status"], status, "{answer}");
    for member in ["type", "title", "requestId"] {
        assert!(problem[member].as_str().is_some_and(|text| !text.is_empty()), "{member} in {answer}");
    }
    assert_eq!(problem["requestId"].as_str(), answer.header("x-request-id"), "{answer}");
    problem
}
