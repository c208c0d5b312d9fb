//! Asks the gateway's admin port.

use std::fmt;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderValue};
use http::{Response, StatusCode, Uri};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;

use super::options::Options;
use crate::http::{Call, Http, HttpError};

/// The whole picture.
pub(super) const STATE: &str = "/console/state";

/// The same again and again, as it changes.
pub(super) const EVENTS: &str = "/console/events";

/// What happened.
pub(super) const TIMELINE: &str = "/console/timeline?limit=200";

/// The gateway asks the services, each with a deadline of its own.
const ANSWER: Duration = Duration::from_secs(5);

/// One gateway's admin port.
#[derive(Clone)]
pub(super) struct Admin {
    http: Http,
    authorization: Option<String>,
}

/// Why there is no answer, or none of use.
#[derive(Debug)]
pub(super) enum AdminError {
    /// Nobody answers.
    Away(HttpError),
    /// Only who has the token is answered.
    Locked {
        /// Whether one was given.
        given: bool,
    },
    /// Something else than what was asked for.
    Status(StatusCode),
    /// What is there is not what the console tells.
    Strange(String),
}

impl Admin {
    /// # Errors
    ///
    /// Names the option that cannot be used.
    pub fn new(options: Options) -> Result<Self, String> {
        let base = options.admin.trim_end_matches('/');
        let uri: Result<Uri, _> = base.parse();
        let is_one =
            |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some() && uri.path() == "/";
        if !uri.is_ok_and(|uri| is_one(&uri)) {
            return Err(format!("--admin must look like http://127.0.0.1:8081, not {:?}", options.admin));
        }
        let from_environment = || std::env::var("ADMIN_TOKEN").ok();
        let token = options.token.or_else(from_environment).filter(|token| !token.trim().is_empty());
        let authorization = token.map(|token| format!("Bearer {}", token.trim()));
        if authorization.as_ref().is_some_and(|value| HeaderValue::try_from(value).is_err()) {
            return Err(
                "the token, from --token or ADMIN_TOKEN, has characters that no header can carry".into()
            );
        }
        Ok(Self { http: Http::new(base), authorization })
    }

    /// Where it is.
    pub fn base(&self) -> &str {
        self.http.base()
    }

    /// Asks for something once.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Unanswered> {
        let answer =
            self.call(path).send().await.map_err(|error| self.unanswered(AdminError::Away(error)))?;
        self.check(answer.status)?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| self.unanswered(AdminError::Strange(error.to_string())))
    }

    /// Begins to hear a stream.
    pub async fn open(&self, path: &str) -> Result<Response<Incoming>, Unanswered> {
        let call = self.call(path).header("accept", "text/event-stream");
        let answer = call.open().await.map_err(|error| self.unanswered(AdminError::Away(error)))?;
        self.check(answer.status())?;
        Ok(answer)
    }

    fn call(&self, path: &str) -> Call {
        let call = self.http.get(path).deadline(ANSWER);
        match &self.authorization {
            Some(value) => call.header(AUTHORIZATION.as_str(), value),
            None => call,
        }
    }

    fn check(&self, status: StatusCode) -> Result<(), Unanswered> {
        let error = match status {
            StatusCode::OK => return Ok(()),
            StatusCode::UNAUTHORIZED => AdminError::Locked { given: self.authorization.is_some() },
            status => AdminError::Status(status),
        };
        Err(self.unanswered(error))
    }

    fn unanswered(&self, error: AdminError) -> Unanswered {
        Unanswered { base: self.base().to_owned(), error }
    }
}

/// Who did not answer, and why.
#[derive(Debug)]
pub(super) struct Unanswered {
    base: String,
    pub error: AdminError,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = &self.base;
        match &self.error {
            AdminError::Away(error) => write!(
                f,
                "no gateway answers at {base} ({}); `cargo up` starts one, and --admin names another admin port",
                in_short(error)
            ),
            AdminError::Locked { given: false } => {
                write!(f, "the gateway at {base} wants a token: give it by --token or ADMIN_TOKEN")
            }
            AdminError::Locked { given: true } => {
                write!(f, "the gateway at {base} wants another token than the one of --token or ADMIN_TOKEN")
            }
            AdminError::Status(status) => {
                write!(f, "{base} answers {status}: that is no admin port of a gateway with a console")
            }
            AdminError::Strange(why) => {
                write!(f, "{base} answers something else than the console's state ({why})")
            }
        }
    }
}

impl std::error::Error for Unanswered {}

/// What was at the bottom of it, such as `Connection refused`.
pub(super) fn in_short(error: &HttpError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
