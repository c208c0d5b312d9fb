//! What a collector reads: OTLP's `ExportTraceServiceRequest` in its JSON form, by version 1 of the protocol.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use serde::{Serialize, Serializer};
use uuid::Uuid;

use super::{SpanRecord, SpanValue};

/// `STATUS_CODE_ERROR`.
const FAILED: u8 = 2;

/// Whose spans they are.
#[derive(Clone, Debug)]
pub(super) struct Resource(Vec<(String, SpanValue)>);

impl Resource {
    /// This process, as `service`.
    pub(super) fn of(service: &'static str) -> Self {
        let version = env!("CARGO_PKG_VERSION");
        let pairs: [(&str, SpanValue); 8] = [
            ("service.name", service.into()),
            ("service.namespace", "warren".into()),
            ("service.version", version.into()),
            ("service.instance.id", Uuid::now_v7().to_string().into()),
            ("process.pid", std::process::id().into()),
            ("telemetry.sdk.name", "warren".into()),
            ("telemetry.sdk.language", "rust".into()),
            ("telemetry.sdk.version", version.into()),
        ];
        Self(pairs.into_iter().map(|(key, value)| (key.to_owned(), value)).collect())
    }

    /// Sets an attribute, in place of the one of that name.
    pub(super) fn set(&mut self, key: String, value: SpanValue) {
        self.0.retain(|(known, _)| *known != key);
        self.0.push((key, value));
    }
}

/// Writes one request with all of `spans`.
///
/// # Errors
/// Never for what is here; a mistake in this page would show so.
pub(super) fn encode(resource: &Resource, spans: &[SpanRecord]) -> Result<Bytes, serde_json::Error> {
    let attributes = resource.0.iter().map(|(key, value)| Attribute::new(key, value)).collect();
    let scope = Scope { name: "warren", version: env!("CARGO_PKG_VERSION") };
    let spans = spans.iter().map(Span::of).collect();
    let request = Request {
        resource_spans: [ResourceSpans {
            resource: Attributes { attributes },
            scope_spans: [ScopeSpans { scope, spans }],
        }],
    };
    serde_json::to_vec(&request).map(Bytes::from)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Request<'a> {
    resource_spans: [ResourceSpans<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResourceSpans<'a> {
    resource: Attributes<'a>,
    scope_spans: [ScopeSpans<'a>; 1],
}

#[derive(Serialize)]
struct Attributes<'a> {
    attributes: Vec<Attribute<'a>>,
}

#[derive(Serialize)]
struct ScopeSpans<'a> {
    scope: Scope,
    spans: Vec<Span<'a>>,
}

#[derive(Serialize)]
struct Scope {
    name: &'static str,
    version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Span<'a> {
    trace_id: String,
    span_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_span_id: Option<String>,
    name: &'a str,
    kind: u8,
    #[serde(serialize_with = "as_text")]
    start_time_unix_nano: u128,
    #[serde(serialize_with = "as_text")]
    end_time_unix_nano: u128,
    attributes: Vec<Attribute<'a>>,
    status: Status<'a>,
}

impl<'a> Span<'a> {
    fn of(record: &'a SpanRecord) -> Self {
        let start = record.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self {
            trace_id: record.context.trace_id(),
            span_id: record.context.span_id().to_string(),
            parent_span_id: record.parent.map(|parent| parent.to_string()),
            name: &record.name,
            kind: record.kind as u8,
            start_time_unix_nano: start.as_nanos(),
            end_time_unix_nano: (start + record.took).as_nanos(),
            attributes: record.attributes.iter().map(|(key, value)| Attribute::new(key, value)).collect(),
            status: Status { code: record.error.as_ref().map(|_| FAILED), message: record.error.as_deref() },
        }
    }
}

#[derive(Serialize)]
struct Status<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<u8>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
}

#[derive(Serialize)]
struct Attribute<'a> {
    key: &'a str,
    value: AnyValue<'a>,
}

impl<'a> Attribute<'a> {
    fn new(key: &'a str, value: &'a SpanValue) -> Self {
        let value = match value {
            SpanValue::Text(text) => AnyValue::StringValue(Cow::Borrowed(text)),
            SpanValue::Number(number) => AnyValue::IntValue(number.to_string()),
            SpanValue::Flag(flag) => AnyValue::BoolValue(*flag),
        };
        Self { key, value }
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum AnyValue<'a> {
    StringValue(Cow<'a, str>),
    /// 64 bits are a text in protobuf's JSON.
    IntValue(String),
    BoolValue(bool),
}

fn as_text<S: Serializer>(nanoseconds: &u128, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(nanoseconds)
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry::{spans::SpanKind, trace::TraceContext};

    #[test]
    fn a_span_is_written_as_the_protocol_has_it() {
        let parent: TraceContext = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
            .parse()
            .expect("the standard's own example");
        let context = parent.child();
        let mut record = SpanRecord::since(
            Instant::now(),
            context,
            Some(parent.span_id()),
            SpanKind::Server,
            "GET /users/{id}",
        );
        record.start = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        record.took = Duration::from_millis(3);
        record.set("http.response.status_code", 500_u16).set("x", true).fail("500", "it broke");
        let mut resource = Resource::of("users");
        resource.set("service.name".to_owned(), "people".into());

        let body = encode(&resource, &[record]).expect("it can be written");

        let request: Value = serde_json::from_slice(&body).expect("it is JSON");
        let spans = &request["resourceSpans"][0];
        let attributes = spans["resource"]["attributes"].as_array().expect("a list");
        let names: Vec<_> = attributes.iter().filter(|pair| pair["key"] == "service.name").collect();
        assert_eq!(names, [&json!({ "key": "service.name", "value": { "stringValue": "people" } })]);
        assert_eq!(
            spans["scopeSpans"][0]["spans"],
            json!([{
                "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
                "spanId": context.span_id().to_string(),
                "parentSpanId": "00f067aa0ba902b7",
                "name": "GET /users/{id}",
                "kind": 2,
                "startTimeUnixNano": "5000000000",
                "endTimeUnixNano": "5003000000",
                "attributes": [
                    { "key": "http.response.status_code", "value": { "intValue": "500" } },
                    { "key": "x", "value": { "boolValue": true } },
                    { "key": "error.type", "value": { "stringValue": "500" } },
                ],
                "status": { "code": 2, "message": "it broke" },
            }])
        );
    }
}
