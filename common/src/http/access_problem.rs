use std::time::Duration;

use actix_web::http::StatusCode;

use super::Problem;

/// What asks for a token, and says nothing of one (RFC 6750 section 3).
pub const CHALLENGE: &str = "Bearer realm=\"warren\"";

/// What a client is told that is not who it should be, or may not do what it asks.
impl Problem {
    /// 401: nobody knows who asks; `challenge` says how to tell.
    pub fn unauthorized(error: &'static str, challenge: &'static str) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, error).challenge(challenge)
    }

    /// 403: it is known who asks, and that one may not.
    pub fn forbidden(detail: &'static str) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden").detail(detail)
    }

    /// 400: the request contradicts itself.
    pub fn invalid_identity(detail: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid identity").detail(detail)
    }

    /// 503: without keys nobody can tell who asks.
    pub fn no_keys(detail: &'static str) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "keys unavailable")
            .detail(detail)
            .retry_after(Duration::from_secs(1))
    }
}
