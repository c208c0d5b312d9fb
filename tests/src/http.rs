//! A small HTTP client with a deadline on every call: for the launcher's readiness checks and for the tests.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Serialize;
use serde_json::Value;

/// What a call gets that names no deadline of its own: longer than the gateway's whole deadline.
const DEADLINE: Duration = Duration::from_secs(35);

/// Calls one server. Clones share their connections, which belong to the tokio runtime of the first call.
#[derive(Clone)]
pub struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
}

impl Http {
    /// A client of the server at `base`, such as `http://127.0.0.1:8080`.
    pub fn new(base: impl Into<String>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self { client: Client::builder(TokioExecutor::new()).build(connector), base: base.into() }
    }

    /// The server's address, such as `http://127.0.0.1:8080`.
    pub fn base(&self) -> &str {
        &self.base
    }

    /// Begins a GET of `path`, which starts with a slash.
    pub fn get(&self, path: &str) -> Call {
        self.call(Method::GET, path)
    }

    /// Begins a POST to `path`.
    pub fn post(&self, path: &str) -> Call {
        self.call(Method::POST, path)
    }

    /// Begins a call with any method.
    pub fn call(&self, method: Method, path: &str) -> Call {
        Call {
            client: self.client.clone(),
            uri: format!("{}{path}", self.base),
            method,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            deadline: DEADLINE,
        }
    }
}

/// A call that is not sent yet. Awaiting it sends it and panics without an answer; [`Call::send`] returns the error.
#[must_use = "a call is sent when it is awaited"]
pub struct Call {
    client: Client<HttpConnector, Full<Bytes>>,
    uri: String,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
    deadline: Duration,
}

impl Call {
    /// Adds a header.
    ///
    /// # Panics
    ///
    /// When the name or value cannot be a header's.
    pub fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::try_from(name).expect("a header name");
        self.headers.append(name, HeaderValue::try_from(value).expect("a header value"));
        self
    }

    /// Sends `body` as JSON.
    ///
    /// # Panics
    ///
    /// When `body` cannot be written as JSON.
    pub fn json(mut self, body: &impl Serialize) -> Self {
        self.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.body(serde_json::to_vec(body).expect("a body that can be written as JSON"))
    }

    /// Sends `body` as it is, with no content type unless a header gives one.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    /// Bounds the call from connecting to the last byte of the answer.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Sends the call and gathers the answer.
    ///
    /// # Errors
    ///
    /// No whole answer within the deadline. Whether the server acted on the call is then unknown.
    pub async fn send(self) -> Result<Answer, HttpError> {
        let deadline = self.deadline;
        let exchange = async {
            let (head, body) = self.open().await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(deadline, exchange).await.unwrap_or(Err(HttpError::Deadline(deadline)))
    }

    /// Sends the call and returns the answer when its head is there, to be read as it comes. The deadline is the head's.
    ///
    /// # Errors
    ///
    /// No head of an answer within the deadline.
    pub async fn open(self) -> Result<Response<Incoming>, HttpError> {
        let mut request = Request::builder().method(self.method).uri(self.uri).body(Full::new(self.body))?;
        *request.headers_mut() = self.headers;
        let answer = tokio::time::timeout(self.deadline, self.client.request(request)).await;
        Ok(answer.map_err(|_| HttpError::Deadline(self.deadline))??)
    }
}

impl IntoFuture for Call {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async {
            let what = format!("{} {}", self.method, self.uri);
            self.send().await.unwrap_or_else(|error| panic!("{what}: {error}"))
        })
    }
}

/// A whole answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status line's code.
    pub status: StatusCode,
    /// The head.
    pub headers: HeaderMap,
    /// The body, whole.
    pub body: Bytes,
}

impl Answer {
    /// The header's first value, where it is text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The body as text; what is not UTF-8 is replaced.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    ///
    /// # Panics
    ///
    /// When it is not JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error} in the answer {self}"))
    }

    /// Returns the answer if it has this status.
    ///
    /// # Panics
    ///
    /// With the whole answer when it has another one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status.as_u16(), status, "{self}");
        self
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {}", self.status, self.headers, self.text())
    }
}

/// Why there is no whole answer.
#[derive(Debug)]
#[non_exhaustive]
pub enum HttpError {
    /// The call cannot be written as HTTP.
    Request(http::Error),
    /// The server cannot be reached, or hung up before the head of its answer.
    Exchange(hyper_util::client::legacy::Error),
    /// The server hung up within the body of its answer.
    Body(hyper::Error),
    /// The time given to the call is over.
    Deadline(Duration),
}

impl fmt::Display for HttpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(error) => write!(f, "cannot write the request: {error}"),
            Self::Exchange(error) => match std::error::Error::source(error) {
                Some(source) => write!(f, "no answer: {error}: {source}"),
                None => write!(f, "no answer: {error}"),
            },
            Self::Body(error) => write!(f, "no whole answer: {error}"),
            Self::Deadline(deadline) => write!(f, "no whole answer within {deadline:?}"),
        }
    }
}

impl std::error::Error for HttpError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Request(error) => Some(error),
            Self::Exchange(error) => Some(error),
            Self::Body(error) => Some(error),
            Self::Deadline(_) => None,
        }
    }
}

impl From<http::Error> for HttpError {
    fn from(error: http::Error) -> Self {
        Self::Request(error)
    }
}

impl From<hyper_util::client::legacy::Error> for HttpError {
    fn from(error: hyper_util::client::legacy::Error) -> Self {
        Self::Exchange(error)
    }
}

impl From<hyper::Error> for HttpError {
    fn from(error: hyper::Error) -> Self {
        Self::Body(error)
    }
}
