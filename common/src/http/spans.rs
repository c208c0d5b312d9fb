//! The spans of requests, by OpenTelemetry's conventions for HTTP.

use ::http::{Method, Uri};
use actix_web::dev::ServiceRequest;

use super::{ClientError, ClientResponse, RouteLabel};
use crate::telemetry::{
    spans::{Span, SpanKind, SpanRecord},
    trace::{Origin, SpanId, TraceContext},
};

/// Begins the span of answering `request`.
pub(super) fn answering(request: &ServiceRequest, origin: &Origin, parent: Option<SpanId>) -> Span {
    let mut span = Span::begin(origin.traceparent, parent, SpanKind::Server, || "HTTP");
    span.note(|record| {
        // Without the query: what is in it, only the route knows.
        record.set("url.path", request.path().to_owned()).set("url.scheme", "http");
        record.set("warren.request_id", origin.request_id.to_string());
        if let Some(peer) = request.peer_addr() {
            record.set("network.peer.address", peer.ip().to_string());
        }
    });
    span
}

/// Adds what is known in the end: `method` is one of few words.
pub fn answered(record: &mut SpanRecord, method: &'static str, route: &RouteLabel, status: u16) {
    record.set("http.request.method", method);
    if *route == RouteLabel::UNKNOWN {
        record.name = method.into();
    } else {
        record.name = format!("{method} {route}").into();
        record.set("http.route", route.as_str().to_owned());
    }
    record.set("http.response.status_code", status);
    if status >= 500 {
        failed_with(record, status);
    }
}

/// Begins the span of asking another service.
pub(super) fn asking(method: &Method, url: &Uri, parent: TraceContext) -> Span {
    let mut span = Span::child_of(parent, SpanKind::Client, || method.to_string());
    span.note(|record| {
        let host = url.host().unwrap_or_default();
        record.set("http.request.method", method.to_string()).set("server.address", host.to_owned());
        record.set("server.port", url.port_u16().unwrap_or(80));
        let authority = url.authority().map_or("", |authority| authority.as_str());
        record.set("url.full", format!("http://{authority}{}", url.path()));
    });
    span
}

/// Adds what came of it.
pub(super) fn was_answered(record: &mut SpanRecord, answer: &Result<ClientResponse, ClientError>) {
    match answer {
        Ok(answer) => {
            let status = answer.status.as_u16();
            record.set("http.response.status_code", status);
            if status >= 400 {
                failed_with(record, status);
            }
        }
        Err(error) => {
            let kind = match error {
                error if error.is_late() => "timeout",
                error if error.is_connect() => "connect",
                _ => "link",
            };
            record.fail(kind, error.to_string());
        }
    }
}

/// Says that an answer's status means a failure.
pub fn failed_with(record: &mut SpanRecord, status: u16) {
    record.fail(status.to_string(), format!("status {status}"));
}
