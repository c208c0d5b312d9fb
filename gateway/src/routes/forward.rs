use std::{rc::Rc, sync::Arc, time::Duration};

use actix_web::{
    HttpMessage, HttpRequest, HttpResponse,
    http::{
        Method, StatusCode, Version,
        header::{CONNECTION, CONTENT_LENGTH, HOST, TRANSFER_ENCODING, UPGRADE},
    },
    web,
};
use common::{
    http::{Problem, RequestOrigin},
    supervision::{AskError, Handle},
};
use http::{HeaderValue, Request, Uri, uri::Scheme};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, oneshot},
    time::{Instant, sleep},
};

use super::{answer, problem, upload::Upload};
use crate::{
    proxy::{self, Forward, ProxyActor, ProxyConfig, RequestBody, Sender, Signature},
    routing::{Route, Table},
};

/// The methods that are passed on. CONNECT would make a tunnel of the connection, and TRACE shows what the
/// gateway adds to a request.
const ALLOWED: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

/// What a worker needs to pass requests on.
pub struct Front {
    /// Who answers what.
    pub table: Arc<Table>,
    /// The worker's own actor.
    pub proxy: Handle<ProxyActor>,
    /// Deadlines and bounds.
    pub config: ProxyConfig,
    /// How many more requests may be on their way, in all workers.
    pub permits: Arc<Semaphore>,
}

/// Passes a request on to the service that answers it.
pub async fn forward(
    request: HttpRequest,
    payload: web::Payload,
    front: web::Data<Rc<Front>>,
) -> Result<HttpResponse, Problem> {
    let start = Instant::now();
    if matches!(*request.method(), Method::CONNECT | Method::TRACE) {
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method not allowed").allow(ALLOWED));
    }
    let uri = request.uri();
    let route = front.table.find(uri.path()).ok_or_else(problem::no_route)?;
    request.extensions_mut().insert(route.label().clone());
    let asked = route.forward(uri.path(), uri.query()).map_err(|error| problem::unsafe_path(&error))?;
    let length = BodyLength::of(&request)?;
    // A route's policies stand here, before a byte of the body is read: who may (guard), how often (limiter).
    let permit = front.permits.clone().try_acquire_owned().map_err(|_| problem::busy())?;

    let exchange = Exchange { front: &front, route, request: &request, start };
    exchange.run(asked, length, payload, permit).await
}

/// One request on its way.
struct Exchange<'a> {
    front: &'a Front,
    route: &'a Route,
    request: &'a HttpRequest,
    start: Instant,
}

impl Exchange<'_> {
    async fn run(
        &self,
        asked: String,
        length: BodyLength,
        payload: web::Payload,
        permit: OwnedSemaphorePermit,
    ) -> Result<HttpResponse, Problem> {
        let Front { proxy, config, .. } = self.front;
        let (body, upload) = match length {
            BodyLength::None | BodyLength::Known(0) => (RequestBody::empty(), None),
            BodyLength::Known(_) | BodyLength::Unknown => {
                let (sender, body) = RequestBody::channel(length.known());
                (body, Some(Upload::start(payload, sender, config.body_idle)))
            }
        };
        let request = self.head(asked, length, body)?;
        let reply = match upload {
            None => proxy.ask(Forward { request }, config.head.min(config.whole)).await,
            Some(mut upload) => {
                let uploaded = upload.uploaded();
                let asked = proxy.ask(Forward { request }, config.whole);
                let reply = tokio::select! {
                    reply = asked => reply,
                    () = head_overdue(uploaded, config.head) => {
                        Err(AskError::Late { actor: proxy.name().into() })
                    }
                };
                return self.finish(reply, Some(upload), permit);
            }
        };
        self.finish(reply, None, permit)
    }

    fn finish(
        &self,
        reply: Result<<Forward as actix::Message>::Result, AskError>,
        upload: Option<Upload>,
        permit: OwnedSemaphorePermit,
    ) -> Result<HttpResponse, Problem> {
        let failure = match reply {
            Ok(Ok(response)) => {
                let end = self.start + self.front.config.whole;
                let location = |raw: &str| self.front.table.backward(self.route, raw);
                return Ok(answer::pass_on(self.request, response, location, end, upload, permit));
            }
            Ok(Err(error)) => problem::Unanswered::Failed(error),
            Err(error) => problem::Unanswered::Unasked(error),
        };
        let overdue = matches!(failure, problem::Unanswered::Unasked(AskError::Late { .. }));
        if let Some(fault) = upload.and_then(|upload| upload.fault(overdue)) {
            return Err(problem::bad_body(fault));
        }
        let origin = RequestOrigin::of(self.request);
        Err(problem::unanswered(self.route.endpoint().name(), &failure, &origin))
    }

    /// Writes the head that the service gets.
    fn head(
        &self,
        asked: String,
        length: BodyLength,
        body: RequestBody,
    ) -> Result<Request<RequestBody>, Problem> {
        let incoming = self.request.headers();
        let peer = self.request.peer_addr().map(|peer| peer.ip()).ok_or_else(problem::no_peer)?;
        // Without whom the client logs in as, which is no part of a host.
        let host = self.request.uri().authority().and_then(|authority| authority.as_str().rsplit('@').next());
        let sender = Sender {
            address: peer,
            host: host.map(str::as_bytes).or_else(|| incoming.get(HOST).map(|host| host.as_bytes())),
            trusted: self.front.config.trusted.contain(peer),
            signature: signature(self.request.version()),
        };
        let origin = RequestOrigin::of(self.request);
        let connection = incoming.get_all(CONNECTION).map(|value| value.as_bytes());
        let fields = incoming.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
        let mut request = Request::new(body);
        *request.headers_mut() = proxy::to_service(connection, fields, &sender, &origin);
        match length {
            // hyper says how long a body of known length is, but not that there is none.
            BodyLength::Known(0) => {
                request.headers_mut().insert(http::header::CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            // Otherwise hyper takes it that a GET has no body.
            BodyLength::Unknown => {
                let chunked = HeaderValue::from_static("chunked");
                request.headers_mut().insert(http::header::TRANSFER_ENCODING, chunked);
            }
            BodyLength::None | BodyLength::Known(_) => {}
        }
        *request.method_mut() = http::Method::from_bytes(self.request.method().as_str().as_bytes())
            .map_err(|_| problem::bad_request("the method is malformed"))?;
        *request.uri_mut() = Uri::builder()
            .scheme(Scheme::HTTP)
            .authority(self.route.endpoint().authority().clone())
            .path_and_query(asked)
            .build()
            .map_err(|_| problem::bad_request("the path or the query is malformed"))?;
        Ok(request)
    }
}

/// What a request says about the length of its body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BodyLength {
    /// Nothing: there is no body.
    None,
    /// So many bytes.
    Known(u64),
    /// As many as come.
    Unknown,
}

impl BodyLength {
    /// Reads what actix has already found to be sound: at most one of the two fields, and that one well formed.
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let headers = request.headers();
        let length = match (headers.get(TRANSFER_ENCODING), headers.get(CONTENT_LENGTH)) {
            (None, None) => Self::None,
            (Some(_), None) => Self::Unknown,
            (None, Some(length)) => {
                let length = length.to_str().ok().and_then(|length| length.trim().parse().ok());
                Self::Known(length.ok_or_else(|| problem::bad_request("the content length is malformed"))?)
            }
            (Some(_), Some(_)) => return Err(problem::bad_request("the body has two lengths")),
        };
        // actix takes everything that follows such a head for its body.
        if headers.contains_key(UPGRADE) && !matches!(length, Self::None) {
            return Err(problem::bad_request("a request with a body cannot change the protocol"));
        }
        Ok(length)
    }

    fn known(self) -> Option<u64> {
        match self {
            Self::Known(length) => Some(length),
            Self::None | Self::Unknown => None,
        }
    }
}

/// Waits until the service has had the whole request for `deadline`.
async fn head_overdue(uploaded: oneshot::Receiver<()>, deadline: Duration) {
    // An upload that broke off ends the exchange by itself.
    let _ = uploaded.await;
    sleep(deadline).await;
}

fn signature(version: Version) -> Signature {
    if version == Version::HTTP_10 { Signature::Http10 } else { Signature::Http11 }
}
