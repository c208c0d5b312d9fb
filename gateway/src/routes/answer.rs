use std::{
    cell::RefCell,
    error::Error,
    fmt,
    pin::Pin,
    rc::Rc,
    task::{Context, Poll, Waker},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    http::{
        ConnectionType, Method, StatusCode, Version,
        header::{CONTENT_LOCATION, HeaderName, HeaderValue, LOCATION, UPGRADE, VIA},
    },
    rt,
    web::Bytes,
};
use common::{
    http::{RequestOrigin, Untouched},
    telemetry::trace::Origin,
};
use http::{Response, header::CONTENT_LENGTH};
use hyper::body::{Body, Incoming};
use tokio::{
    sync::OwnedSemaphorePermit,
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::upload::Upload;
use crate::proxy::{self, Signature};

/// Passes a service's answer on; its body follows as it comes, until `end`.
pub fn pass_on(
    request: &HttpRequest,
    answer: Response<Incoming>,
    public_name: impl Fn(&str) -> Option<String>,
    end: Instant,
    upload: Option<Upload>,
    permit: OwnedSemaphorePermit,
) -> HttpResponse {
    let (head, body) = answer.into_parts();
    let status = StatusCode::from_u16(head.status.as_u16()).unwrap_or(StatusCode::BAD_GATEWAY);
    let size = size(request.method(), status, head.headers.get(CONTENT_LENGTH), &body);
    let exchange = Ending { body, _upload: upload, _permit: permit };
    let download = Download {
        rest: Rc::new(RefCell::new(Rest { exchange: Some(exchange), reader: None })),
        size,
        end,
        origin: RequestOrigin::of(request).into(),
        passed: 0,
        watchdog: None,
    };
    let mut response = HttpResponse::with_body(status, BoxBody::new(download));
    for (name, value) in proxy::to_client(&head.headers) {
        // Sound on the one side, sound on the other: both are the same library's types of two versions.
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(name.as_str().as_bytes()), HeaderValue::from_bytes(value.as_bytes()))
        else {
            continue;
        };
        let value = if matches!(name, LOCATION | CONTENT_LOCATION) {
            renamed(&value, &public_name).unwrap_or(value)
        } else {
            value
        };
        response.headers_mut().append(name, value);
    }
    let signature = match head.version {
        http::Version::HTTP_10 => Signature::Http10,
        _ => Signature::Http11,
    };
    response.headers_mut().append(VIA, HeaderValue::from_static(signature.as_str()));
    let old = request.version() == Version::HTTP_10;
    // actix announces chunks but writes none where a request offered to change the protocol.
    let upgrade = request.headers().contains_key(UPGRADE);
    if upgrade || old && size == BodySize::Stream {
        // The end of the connection is the end of the body.
        response.head_mut().no_chunking(true);
        response.head_mut().set_connection_type(ConnectionType::Close);
    }
    if status.as_u16() >= 400 {
        response.extensions_mut().insert(Untouched);
    }
    response
}

fn renamed(location: &HeaderValue, public_name: impl Fn(&str) -> Option<String>) -> Option<HeaderValue> {
    HeaderValue::try_from(public_name(location.to_str().ok()?)?).ok()
}

/// What the answer says about its length: what the service said, also where no body follows (HEAD, 304).
fn size(method: &Method, status: StatusCode, said: Option<&http::HeaderValue>, body: &Incoming) -> BodySize {
    let said = said.and_then(|length| length.to_str().ok()?.parse().ok());
    match (said, body.size_hint().exact()) {
        _ if matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) => BodySize::None,
        (Some(said), _) if *method == Method::HEAD => BodySize::Sized(said),
        (None, _) if *method == Method::HEAD => BodySize::None,
        (_, Some(exact)) => BodySize::Sized(exact),
        (_, None) => BodySize::Stream,
    }
}

/// The body of an answer on its way to the client.
///
/// Where it breaks off, or the exchange's time is over, the client's connection is closed without the end of
/// the body, so that nobody takes what came for the whole.
struct Download {
    rest: Rc<RefCell<Rest>>,
    size: BodySize,
    end: Instant,
    origin: Origin,
    /// Bytes that have been passed on.
    passed: usize,
    /// Ends the exchange when its time is over; started once the body makes wait or is large. A client that
    /// reads nothing does not even let the body be asked for more, and must not hold the service for that.
    watchdog: Option<JoinHandle<()>>,
}

/// What is left of an exchange once its answer has begun.
#[derive(Default)]
struct Rest {
    exchange: Option<Ending>,
    /// Whom to tell that the time is over.
    reader: Option<Waker>,
}

struct Ending {
    body: Incoming,
    /// What is left of the request's body goes on until the answer is complete.
    _upload: Option<Upload>,
    _permit: OwnedSemaphorePermit,
}

/// An answer below this size fits into the buffers on the way, whether or not the client reads it.
const SMALL: usize = 32 * 1024;

impl Download {
    fn watch(&mut self) {
        let (rest, end) = (self.rest.clone(), self.end);
        self.watchdog.get_or_insert_with(|| {
            rt::spawn(async move {
                sleep_until(end).await;
                let Rest { exchange, reader } = rest.take();
                drop(exchange);
                if let Some(reader) = reader {
                    reader.wake();
                }
            })
        });
    }

    fn cut(&self, why: impl Into<Box<dyn Error>>) -> Poll<Option<Result<Bytes, Box<dyn Error>>>> {
        let why = why.into();
        log::warn!(
            "event=answer_cut passed={} request_id={} cause={:?}",
            self.passed,
            self.origin.request_id,
            why.to_string(),
        );
        Poll::Ready(Some(Err(why)))
    }
}

impl MessageBody for Download {
    type Error = Box<dyn Error>;

    fn size(&self) -> BodySize {
        self.size
    }

    fn poll_next(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, Box<dyn Error>>>> {
        loop {
            let polled = match &mut self.rest.borrow_mut().exchange {
                Some(exchange) => Pin::new(&mut exchange.body).poll_frame(context),
                None => return self.cut(Overdue),
            };
            match polled {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return self.cut(error),
                Poll::Ready(Some(Ok(frame))) => {
                    // What is no data is trailers, and those end here.
                    if let Ok(data) = frame.into_data() {
                        self.passed += data.len();
                        if self.passed > SMALL {
                            self.watch();
                        }
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Pending => {
                    self.watch();
                    self.rest.borrow_mut().reader = Some(context.waker().clone());
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if let Some(watchdog) = &self.watchdog {
            watchdog.abort();
        }
    }
}

/// The exchange's time is over.
#[derive(Debug)]
struct Overdue;

impl fmt::Display for Overdue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the answer took too long")
    }
}

impl Error for Overdue {}
