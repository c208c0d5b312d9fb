use std::{
    error::Error,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BodySize, BoxBody, MessageBody},
    http::{
        ConnectionType, Method, StatusCode, Version,
        header::{CONTENT_LOCATION, HeaderName, HeaderValue, LOCATION, VIA},
    },
    web::Bytes,
};
use common::http::Untouched;
use http::{Response, header::CONTENT_LENGTH};
use hyper::body::{Body, Incoming};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, Sleep, sleep_until},
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
    let download = Download { body, size, end, timer: None, _upload: upload, _permit: permit };
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
    if size == BodySize::Stream && request.version() == Version::HTTP_10 {
        // Such a client knows no chunks: the end of the connection is the end of the body.
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
    body: Incoming,
    size: BodySize,
    end: Instant,
    /// Set once the body makes wait.
    timer: Option<Pin<Box<Sleep>>>,
    /// What is left of the request's body goes on until the answer is complete.
    _upload: Option<Upload>,
    _permit: OwnedSemaphorePermit,
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
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.body).poll_frame(context) {
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(Some(Ok(frame))) => {
                    // What is no data is trailers, and those end here.
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
                Poll::Pending => {
                    let end = this.end;
                    let timer = this.timer.get_or_insert_with(|| Box::pin(sleep_until(end)));
                    ready!(timer.as_mut().poll(context));
                    return Poll::Ready(Some(Err(Overdue.into())));
                }
            }
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
