use std::{error::Error, fmt, time::Duration};

use ::http::{
    Request, StatusCode,
    header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue},
};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};

use super::deadline::TIMEOUT_MS;
use crate::telemetry::trace::{Origin, REQUEST_ID, TRACEPARENT};

/// Longest answer that is read, in bytes.
const MOST: usize = 1024 * 1024;

/// Bounds of a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientConfig {
    /// How long connecting may take.
    pub connect: Duration,
    /// How long an unused connection is kept; shorter than the server's side keeps it.
    pub idle: Duration,
    /// How many unused connections are kept for one server.
    pub idle_most: usize,
}

impl Default for ClientConfig {
    fn default() -> Self {
        Self { connect: Duration::from_millis(500), idle: Duration::from_secs(30), idle_most: 64 }
    }
}

/// Asks other services over kept-alive connections. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct Client(legacy::Client<HttpConnector, Full<Bytes>>);

/// A whole answer.
#[derive(Clone, Debug)]
pub struct ClientResponse {
    /// Its status.
    pub status: StatusCode,
    /// Its body.
    pub body: Bytes,
    /// How long it may be kept (`Cache-Control: max-age`), where it says so.
    pub max_age: Option<Duration>,
}

impl Client {
    /// Creates a client without a connection.
    pub fn new(config: ClientConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect));
        let client = legacy::Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(config.idle)
            .pool_max_idle_per_host(config.idle_most)
            .build(connector);
        Self(client)
    }

    /// Gets `url` on behalf of `origin`, which goes with it, and so does how long the answer is waited for.
    ///
    /// Whatever the answer's status is, it is an answer. It is never asked for twice, except where the
    /// connection turned out to be closed before the first byte was sent.
    ///
    /// # Errors
    /// When there is no whole answer within `deadline`.
    pub async fn get(
        &self,
        url: &str,
        origin: &Origin,
        deadline: Duration,
    ) -> Result<ClientResponse, ClientError> {
        let request =
            Request::get(url).body(Bytes::new()).map_err(|error| ClientError(Failure::Url(error)))?;
        self.send(request, origin, deadline).await
    }

    /// Gets `url` like [`get`](Self::get) and says `host` in `Host`, where `url` leads to an address and the
    /// server knows itself by a name.
    ///
    /// # Errors
    /// When there is no whole answer within `deadline`.
    pub async fn get_as(
        &self,
        host: &str,
        url: &str,
        origin: &Origin,
        deadline: Duration,
    ) -> Result<ClientResponse, ClientError> {
        let request = Request::get(url).header(HOST, host).body(Bytes::new());
        self.send(request.map_err(|error| ClientError(Failure::Url(error)))?, origin, deadline).await
    }

    /// Sends `request` like [`get`](Self::get): a body is JSON unless its `Content-Type` says otherwise.
    ///
    /// # Errors
    /// When there is no whole answer within `deadline`. Whether the server acted on the request is unknown then, unless
    /// the error [`is_connect`](ClientError::is_connect).
    pub async fn send(
        &self,
        request: Request<Bytes>,
        origin: &Origin,
        deadline: Duration,
    ) -> Result<ClientResponse, ClientError> {
        let (mut head, body) = request.into_parts();
        let headers = &mut head.headers;
        if !body.is_empty() && !headers.contains_key(CONTENT_TYPE) {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
        let traceparent = origin.traceparent.child().to_string();
        let timeout_ms = deadline.as_millis().to_string();
        for (name, value) in [
            (REQUEST_ID, origin.request_id.as_str()),
            (TRACEPARENT, traceparent.as_str()),
            (TIMEOUT_MS, timeout_ms.as_str()),
        ] {
            let value =
                HeaderValue::from_str(value).map_err(|error| ClientError(Failure::Url(error.into())))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        let request = Request::from_parts(head, Full::new(body));
        tokio::time::timeout(deadline, self.exchange(request))
            .await
            .unwrap_or_else(|_| Err(ClientError(Failure::Late)))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<ClientResponse, ClientError> {
        let response = self.0.request(request).await.map_err(|error| ClientError(Failure::Link(error)))?;
        let (head, mut answer) = response.into_parts();
        let mut body = BytesMut::new();
        while let Some(frame) = answer.frame().await {
            let frame = frame.map_err(|error| ClientError(Failure::Body(error)))?;
            if let Ok(data) = frame.into_data() {
                if body.len() + data.len() > MOST {
                    return Err(ClientError(Failure::TooLarge));
                }
                body.extend_from_slice(&data);
            }
        }
        Ok(ClientResponse { status: head.status, body: body.freeze(), max_age: max_age(&head.headers) })
    }
}

fn max_age(headers: &HeaderMap) -> Option<Duration> {
    let directives = headers.get(CACHE_CONTROL)?.to_str().ok()?.split(',');
    let seconds = directives.filter_map(|directive| directive.trim().strip_prefix("max-age=")?.parse().ok());
    seconds.min().map(Duration::from_secs)
}

/// Why there is no answer.
#[derive(Debug)]
pub struct ClientError(Failure);

#[derive(Debug)]
enum Failure {
    Url(::http::Error),
    Link(legacy::Error),
    Body(hyper::Error),
    TooLarge,
    Late,
}

impl ClientError {
    /// Whether no connection came about: then the server knows nothing of the request.
    pub fn is_connect(&self) -> bool {
        matches!(&self.0, Failure::Link(error) if error.is_connect())
    }

    /// Whether the deadline passed.
    pub fn is_late(&self) -> bool {
        matches!(self.0, Failure::Late)
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Failure::Url(_) => "not a URL",
            Failure::Link(error) if error.is_connect() => "cannot connect",
            Failure::Link(_) | Failure::Body(_) => "the connection failed",
            Failure::TooLarge => "the answer is too large",
            Failure::Late => "no answer in time",
        })
    }
}

impl Error for ClientError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.0 {
            Failure::Url(error) => Some(error),
            Failure::Link(error) => Some(error),
            Failure::Body(error) => Some(error),
            Failure::TooLarge | Failure::Late => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use ::http::HeaderValue;

    use super::*;

    #[test]
    fn an_answer_says_how_long_it_may_be_kept() {
        for (said, kept) in [
            ("public, max-age=60", Some(60)),
            ("max-age=0", Some(0)),
            ("max-age=60,max-age=5", Some(5)),
            ("no-store", None),
            ("s-maxage=9, max-age=soon", None),
        ] {
            let headers = HeaderMap::from_iter([(CACHE_CONTROL, HeaderValue::from_static(said))]);
            assert_eq!(max_age(&headers), kept.map(Duration::from_secs), "{said}");
        }
        assert_eq!(max_age(&HeaderMap::new()), None);
    }
}
