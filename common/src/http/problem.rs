use std::{borrow::Cow, error::Error, fmt, time::Duration};

use actix_web::{
    HttpResponse, Responder, ResponseError,
    http::{
        StatusCode,
        header::{ALLOW, RETRY_AFTER, WWW_AUTHENTICATE},
    },
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::telemetry::trace::{REQUEST_ID, RequestId};

/// The media type of RFC 9457.
const MEDIA_TYPE: &str = "application/problem+json";

/// What went wrong, for the client: RFC 9457, with the extra members `error`, `requestId` and, for a 422,
/// `errors`.
///
/// A handler returns it as its error; the server adds the request's id.
#[derive(Clone, Debug)]
pub struct Problem(Box<Parts>);

#[derive(Clone, Debug)]
struct Parts {
    status: StatusCode,
    error: Cow<'static, str>,
    detail: Option<String>,
    fields: Vec<FieldError>,
    retry_after: Option<Duration>,
    allow: Option<String>,
    challenge: Option<&'static str>,
    cause: Option<String>,
    request_id: Option<RequestId>,
}

/// What is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct FieldError {
    /// Which field, such as `items[3]`.
    pub field: Cow<'static, str>,
    /// What is wrong with it, in a few words.
    pub message: Cow<'static, str>,
}

impl FieldError {
    /// Says what is wrong with `field`.
    pub fn new(field: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Self { field: field.into(), message: message.into() }
    }
}

impl Problem {
    /// A problem with a short text, such as "user not found".
    pub fn new(status: StatusCode, error: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            status,
            error: error.into(),
            detail: None,
            fields: Vec::new(),
            retry_after: None,
            allow: None,
            challenge: None,
            cause: None,
            request_id: None,
        }))
    }

    /// A 500 that hides its cause from the client; the server logs it with the request's id.
    pub fn internal(cause: &dyn Error) -> Self {
        let mut chain = cause.to_string();
        let mut source = cause.source();
        while let Some(next) = source {
            chain.push_str(": ");
            chain.push_str(&next.to_string());
            source = next.source();
        }
        Self::hidden(chain)
    }

    /// Explains this occurrence in a sentence.
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.0.detail = Some(detail.into());
        self
    }

    /// Names what is wrong with each field.
    pub fn fields(mut self, fields: Vec<FieldError>) -> Self {
        self.0.fields = fields;
        self
    }

    /// Adds `Retry-After`: whole seconds, rounded up, at least 1.
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.0.retry_after = Some(wait);
        self
    }

    /// Adds `Allow`: the methods that the resource has, separated by commas.
    pub fn allow(mut self, methods: &str) -> Self {
        self.0.allow = Some(methods.to_owned());
        self
    }

    /// Adds `WWW-Authenticate`, which every 401 needs (RFC 9110 section 15.5.2).
    pub fn challenge(mut self, challenge: &'static str) -> Self {
        self.0.challenge = Some(challenge);
        self
    }

    /// The status code.
    pub fn status(&self) -> StatusCode {
        self.0.status
    }

    pub(super) fn hidden(cause: String) -> Self {
        let mut problem = Self::of_status(StatusCode::INTERNAL_SERVER_ERROR);
        problem.0.cause = Some(cause);
        problem
    }

    /// A problem that says no more than its status code.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let reason = status.canonical_reason().unwrap_or("error");
        Self::new(status, reason.to_lowercase())
    }

    /// Takes what a handler or an extractor failed with.
    pub(super) fn from_error(error: &actix_web::Error) -> Self {
        if let Some(problem) = error.as_error::<Self>() {
            return problem.clone();
        }
        let status = error.as_response_error().status_code();
        if status.is_server_error() {
            let mut problem = Self::of_status(status);
            problem.0.cause = Some(error.to_string());
            problem
        } else {
            Self::of_status(status).detail(error.to_string())
        }
    }

    pub(super) fn of_request(mut self, id: RequestId) -> Self {
        self.0.request_id = Some(id);
        self
    }

    pub(super) fn cause(&self) -> Option<&str> {
        self.0.cause.as_deref()
    }

    pub(super) fn to_response(&self) -> HttpResponse {
        let body = Body {
            kind: "about:blank",
            title: self.0.status.canonical_reason().unwrap_or("Error"),
            status: self.0.status.as_u16(),
            detail: self.0.detail.as_deref(),
            error: &self.0.error,
            request_id: self.0.request_id.as_ref(),
            errors: &self.0.fields,
        };
        // Strings and numbers alone always become JSON.
        let body = serde_json::to_vec(&body).unwrap_or_default();
        let mut response = HttpResponse::build(self.0.status);
        response.content_type(MEDIA_TYPE);
        if let Some(wait) = self.0.retry_after {
            response.insert_header((RETRY_AFTER, whole_seconds(wait)));
        }
        if let Some(methods) = &self.0.allow {
            response.insert_header((ALLOW, methods.as_str()));
        }
        if let Some(challenge) = self.0.challenge {
            response.insert_header((WWW_AUTHENTICATE, challenge));
        }
        if let Some(id) = &self.0.request_id {
            response.insert_header((REQUEST_ID, id.as_str()));
        }
        if matches!(self.0.status, StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE) {
            // What is left of the body is not worth reading.
            response.force_close();
        }
        response.body(body)
    }
}

fn whole_seconds(wait: Duration) -> u64 {
    let up = if wait.subsec_nanos() > 0 { 1 } else { 0 };
    (wait.as_secs() + up).max(1)
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.0.status.as_u16(), self.0.error)?;
        match &self.0.detail {
            Some(detail) => write!(f, ": {detail}"),
            None => Ok(()),
        }
    }
}

impl Error for Problem {}

impl ResponseError for Problem {
    fn status_code(&self) -> StatusCode {
        self.0.status
    }

    /// The server replaces it by one that names the request.
    fn error_response(&self) -> HttpResponse {
        let mut response = self.to_response();
        response.extensions_mut().insert(self.clone());
        response
    }
}

impl Responder for Problem {
    type Body = actix_web::body::BoxBody;

    fn respond_to(self, _: &actix_web::HttpRequest) -> HttpResponse {
        self.error_response()
    }
}

/// What went wrong: a problem of RFC 9457.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct Body<'a> {
    /// No more than the status tells; see `error`.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'static str,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is the matter this time, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    detail: Option<&'a str>,
    /// What is the matter, in a few words that stay the same.
    error: &'a str,
    /// Names the request in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    request_id: Option<&'a RequestId>,
    /// What is wrong with each field, where that is the matter.
    #[serde(skip_serializing_if = "<[FieldError]>::is_empty")]
    #[schema(required = false)]
    errors: &'a [FieldError],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_a_whole_number_of_seconds_and_at_least_one() {
        let seconds = [0, 1, 999, 1000, 1001, 30_000].map(|ms| whole_seconds(Duration::from_millis(ms)));

        assert_eq!(seconds, [1, 1, 1, 1, 2, 30]);
    }

    #[test]
    fn an_internal_problem_keeps_the_whole_chain_of_causes_to_itself() {
        let source = std::io::Error::other("disk full");
        let error = std::io::Error::other(Outer(source));

        let problem = Problem::internal(&error);

        assert_eq!(problem.cause(), Some("cannot commit: disk full"));
        assert_eq!(problem.to_string(), "500 internal server error");
    }

    #[derive(Debug)]
    struct Outer(std::io::Error);

    impl fmt::Display for Outer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("cannot commit")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }
}
