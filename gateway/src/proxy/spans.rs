//! The spans of a request on its way through: one for all of it, and one for each try to get an answer.
//!
//! They are put together when the work is over, and only where they are recorded; else they cost a look at a flag.

use std::time::Instant;

use common::{
    http::{answered, failed_with},
    telemetry::{
        spans::{self, SpanKind, SpanRecord},
        trace::TraceContext,
    },
};

use super::{
    decide::Asked,
    metrics::RequestPlace,
    session::{Flow, Peer},
};
use crate::upstream::Endpoint;

/// The path that the client asked for in the request line of `head`; `None` where no span is kept of the request. What the
/// gateway answers by itself, such as how it is, has none.
pub fn path(asked: &Asked, head: &[u8]) -> Option<String> {
    if !spans::are_recorded_at(asked.origin.trace) || matches!(asked.place, RequestPlace::Own(_)) {
        return None;
    }
    let target = head.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
    Some(without_query(&String::from_utf8_lossy(target)))
}

/// Keeps the span of a request for `path` that has ended in `flow`.
pub fn keep_request(asked: &Asked, path: Option<String>, peer: &Peer, flow: Flow) {
    let Some(path) = path else { return };
    let (context, parent) = (asked.origin.trace, asked.origin.parent);
    let method = asked.method.as_str();
    let mut record = SpanRecord::since(asked.started, context, parent, SpanKind::Server, method);
    record.set("url.scheme", "http").set("url.path", path).set("client.address", peer.text.clone());
    record.set("warren.request_id", asked.origin.id().to_owned());
    match asked.status.get() {
        0 => {
            record.set("http.request.method", method).fail("abandoned", "the client left before the answer");
        }
        status => {
            answered(&mut record, method, &asked.label(), status);
            if flow == Flow::Cut && status != 101 && status < 500 {
                record.fail("cut", "the answer broke off");
            }
        }
    }
    spans::keep(record);
}

/// One try to get an answer, as a span that the service's own is part of.
pub struct Try {
    /// What the service is told.
    pub trace: TraceContext,
    /// When it began, where it is recorded.
    started: Option<Instant>,
}

impl Try {
    /// Begins it.
    pub fn begin(asked: &Asked) -> Self {
        let trace = asked.origin.trace.child();
        Self { trace, started: spans::are_recorded_at(trace).then(Instant::now) }
    }

    /// Keeps it: `path` is what was asked for, `failed` why there is no answer, `earlier` the number of tries before.
    pub fn end(
        self,
        asked: &Asked,
        endpoint: &Endpoint,
        path: &str,
        failed: Option<(&'static str, &str)>,
        earlier: u32,
    ) {
        let Some(started) = self.started else { return };
        let method = asked.method.as_str();
        let parent = Some(asked.origin.trace.span_id());
        let mut record = SpanRecord::since(started, self.trace, parent, SpanKind::Client, method);
        let (authority, address) = (endpoint.authority(), endpoint.address());
        record.set("http.request.method", method);
        record.set("url.full", format!("http://{authority}{}{}", endpoint.base_path(), without_query(path)));
        let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
        record.set("server.address", host.to_owned()).set("server.port", address.port());
        record.set("network.peer.address", address.ip().to_string());
        if earlier > 0 {
            record.set("http.request.resend_count", earlier);
        }
        match (failed, asked.status.get()) {
            (Some((kind, why)), _) => {
                record.fail(kind, why.to_owned());
            }
            (None, 0) => {}
            (None, status) => {
                record.set("http.response.status_code", status);
                if status >= 400 {
                    failed_with(&mut record, status);
                }
            }
        }
        spans::keep(record);
    }
}

/// What is in a query, only the service knows.
fn without_query(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}
