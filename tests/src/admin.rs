//! Asks the gateway's admin port, for the commands that show or change a running system.

use std::fmt;
use std::time::Duration;

use clap::Args;
use http::header::{AUTHORIZATION, HeaderValue};
use http::{Method, Response, StatusCode, Uri};
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::http::{Answer, Call, Http, HttpError};
use crate::plain::Plain;

/// The gateway asks the services, each with a deadline of its own.
const ANSWER: Duration = Duration::from_secs(5);

/// Where the admin port is, and what it wants.
#[derive(Args, Debug)]
pub(crate) struct AdminOptions {
    /// The gateway's admin port, which is what ADMIN_PORT says there
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8081", global = true)]
    admin: String,

    /// The token that it wants, which is what ADMIN_TOKEN says there; ADMIN_TOKEN of this environment if not given
    #[arg(long, value_name = "TOKEN", global = true)]
    token: Option<String>,
}

/// One gateway's admin port.
#[derive(Clone)]
pub(crate) struct Admin {
    http: Http,
    authorization: Option<String>,
}

/// Why there is no answer, or none of use.
#[derive(Debug)]
pub(crate) enum AdminError {
    /// Nobody answers.
    Away(HttpError),
    /// Only who has the token is answered.
    Locked {
        /// Whether one was given.
        given: bool,
    },
    /// The gateway says what is wrong.
    Problem(AdminProblem),
    /// Something else than what was asked for.
    Status(StatusCode),
    /// What is there is not what an admin port tells.
    Strange(String),
}

/// What a gateway says of a request that it does not fulfil.
#[derive(Debug, Deserialize)]
pub(crate) struct AdminProblem {
    /// What is wrong, in a few words.
    pub error: Plain,
    /// The same in a sentence, and what to do.
    #[serde(default)]
    pub detail: Plain,
}

impl Admin {
    /// # Errors
    ///
    /// Names the option that cannot be used.
    pub fn new(options: &AdminOptions) -> Result<Self, String> {
        let base = options.admin.trim_end_matches('/');
        let uri: Result<Uri, _> = base.parse();
        let is_one =
            |uri: &Uri| uri.scheme_str() == Some("http") && uri.host().is_some() && uri.path() == "/";
        if !uri.is_ok_and(|uri| is_one(&uri)) {
            return Err(format!("--admin must look like http://127.0.0.1:8081, not {:?}", options.admin));
        }
        let from_environment = || std::env::var("ADMIN_TOKEN").ok();
        let token = options.token.clone().or_else(from_environment).filter(|token| !token.trim().is_empty());
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
        self.read(self.call(Method::GET, path)).await
    }

    /// Begins to hear a stream.
    pub async fn open(&self, path: &str) -> Result<Response<Incoming>, Unanswered> {
        let call = self.call(Method::GET, path).header("accept", "text/event-stream");
        let answer = call.open().await.map_err(|error| self.unanswered(AdminError::Away(error)))?;
        match answer.status() {
            StatusCode::OK => Ok(answer),
            status => Err(self.unanswered(self.refused(status, &[]))),
        }
    }

    /// Begins a call with what the port wants. Its deadline is that of a question.
    pub fn call(&self, method: Method, path: &str) -> Call {
        let call = self.http.call(method, path).deadline(ANSWER);
        match &self.authorization {
            Some(value) => call.header(AUTHORIZATION.as_str(), value),
            None => call,
        }
    }

    /// Sends a call and reads what comes back.
    pub async fn read<T: DeserializeOwned>(&self, call: Call) -> Result<T, Unanswered> {
        let answer = self.send(call).await?;
        serde_json::from_slice(&answer.body)
            .map_err(|error| self.unanswered(AdminError::Strange(error.to_string())))
    }

    /// Sends a call that has to be fulfilled.
    pub async fn send(&self, call: Call) -> Result<Answer, Unanswered> {
        let answer = call.send().await.map_err(|error| self.unanswered(AdminError::Away(error)))?;
        match answer.status {
            StatusCode::OK | StatusCode::NO_CONTENT => Ok(answer),
            status => Err(self.unanswered(self.refused(status, &answer.body))),
        }
    }

    fn refused(&self, status: StatusCode, body: &[u8]) -> AdminError {
        if status == StatusCode::UNAUTHORIZED {
            return AdminError::Locked { given: self.authorization.is_some() };
        }
        match serde_json::from_slice::<AdminProblem>(body) {
            // Any other port of a service may say as much.
            Ok(problem) if &*problem.error != "not found" => AdminError::Problem(problem),
            _ => AdminError::Status(status),
        }
    }

    fn unanswered(&self, error: AdminError) -> Unanswered {
        Unanswered { base: self.base().to_owned(), error }
    }
}

/// Who did not answer, and why.
#[derive(Debug)]
pub(crate) struct Unanswered {
    base: String,
    pub error: AdminError,
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let base = &self.base;
        match &self.error {
            AdminError::Away(HttpError::Deadline(deadline)) => {
                write!(f, "the gateway at {base} has not answered within {} s", deadline.as_secs())
            }
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
            AdminError::Problem(AdminProblem { error, detail }) => {
                write!(f, "the gateway at {base} says: {error}")?;
                if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
            }
            AdminError::Status(status) => {
                write!(f, "{base} answers {status}: that is no admin port of a gateway with a console")
            }
            AdminError::Strange(why) => {
                write!(f, "{base} answers something else than a gateway's admin port ({why})")
            }
        }
    }
}

impl std::error::Error for Unanswered {}

/// What was at the bottom of it, such as `Connection refused`.
pub(crate) fn in_short(error: &HttpError) -> String {
    let mut cause: &dyn std::error::Error = error;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    cause.to_string()
}
