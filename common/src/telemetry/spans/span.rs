use std::{
    borrow::Cow,
    time::{Duration, Instant, SystemTime},
};

use super::{are_recorded_at, keep};
use crate::{
    journal::cut,
    telemetry::trace::{SpanId, TraceContext},
};

/// Longest text, in bytes: a path may be as long as a head.
const TEXT: usize = 1024;

/// Which side of what a span is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanKind {
    /// Something within a process.
    Internal = 1,
    /// The answer to a request.
    Server = 2,
    /// A request to another service.
    Client = 3,
    /// Handing a message to a broker.
    Producer = 4,
    /// Doing what a message asks for.
    Consumer = 5,
}

/// The value of an attribute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SpanValue {
    /// A text.
    Text(Cow<'static, str>),
    /// A whole number.
    Number(i64),
    /// Yes or no.
    Flag(bool),
}

impl From<&'static str> for SpanValue {
    fn from(text: &'static str) -> Self {
        Self::Text(Cow::Borrowed(text))
    }
}

impl From<String> for SpanValue {
    fn from(text: String) -> Self {
        Self::Text(Cow::Owned(text))
    }
}

impl From<i64> for SpanValue {
    fn from(number: i64) -> Self {
        Self::Number(number)
    }
}

impl From<u32> for SpanValue {
    fn from(number: u32) -> Self {
        Self::Number(number.into())
    }
}

impl From<u16> for SpanValue {
    fn from(number: u16) -> Self {
        Self::Number(number.into())
    }
}

impl From<bool> for SpanValue {
    fn from(flag: bool) -> Self {
        Self::Flag(flag)
    }
}

/// What is known of a span in the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpanRecord {
    pub(super) context: TraceContext,
    pub(super) parent: Option<SpanId>,
    pub(super) kind: SpanKind,
    /// What kind of work it was, without ids: OpenTelemetry's `{method} {route}` and the like.
    pub name: Cow<'static, str>,
    pub(super) start: SystemTime,
    pub(super) took: Duration,
    pub(super) attributes: Vec<(&'static str, SpanValue)>,
    pub(super) error: Option<String>,
}

impl SpanRecord {
    /// A span that began at `started` and ends now.
    pub fn since(
        started: Instant,
        context: TraceContext,
        parent: Option<SpanId>,
        kind: SpanKind,
        name: impl Into<Cow<'static, str>>,
    ) -> Self {
        let took = started.elapsed();
        let now = SystemTime::now();
        let start = now.checked_sub(took).unwrap_or(now);
        Self { context, parent, kind, name: name.into(), start, took, attributes: Vec::new(), error: None }
    }

    /// Adds an attribute, by the name that OpenTelemetry's conventions have for it.
    pub fn set(&mut self, name: &'static str, value: impl Into<SpanValue>) -> &mut Self {
        let value = match value.into() {
            SpanValue::Text(text) if text.len() > TEXT => SpanValue::Text(cut(&text, TEXT).into()),
            value => value,
        };
        self.attributes.push((name, value));
        self
    }

    /// Says that the work failed: `kind` is one of few words, `reason` is for people.
    pub fn fail(&mut self, kind: impl Into<SpanValue>, reason: impl Into<String>) -> &mut Self {
        self.set("error.type", kind);
        self.error = Some(cut(&reason.into(), TEXT));
        self
    }
}

/// A piece of work under way; it ends when this is dropped.
#[derive(Debug)]
#[must_use = "a span lasts as long as this lives"]
pub struct Span {
    context: TraceContext,
    recorded: Option<Box<(SpanRecord, Instant)>>,
}

impl Span {
    /// Begins a piece of the work that is done at `parent`. The name is asked for where the span is recorded.
    pub fn child_of<N: Into<Cow<'static, str>>>(
        parent: TraceContext,
        kind: SpanKind,
        name: impl FnOnce() -> N,
    ) -> Self {
        Self::begin(parent.child(), Some(parent.span_id()), kind, name)
    }

    /// Begins the work whose place in the trace is known already.
    pub fn begin<N: Into<Cow<'static, str>>>(
        context: TraceContext,
        parent: Option<SpanId>,
        kind: SpanKind,
        name: impl FnOnce() -> N,
    ) -> Self {
        let recorded = are_recorded_at(context).then(|| {
            let started = Instant::now();
            Box::new((SpanRecord::since(started, context, parent, kind, name()), started))
        });
        Self { context, recorded }
    }

    /// Where the work belongs; what is sent to others on its behalf carries this.
    pub fn context(&self) -> TraceContext {
        self.context
    }

    /// Adds to what is known of the work; not called where the span is not recorded.
    pub fn note(&mut self, note: impl FnOnce(&mut SpanRecord)) {
        if let Some(recorded) = &mut self.recorded {
            note(&mut recorded.0);
        }
    }
}

impl Drop for Span {
    fn drop(&mut self) {
        if let Some(recorded) = self.recorded.take() {
            let (mut record, started) = *recorded;
            record.took = started.elapsed();
            keep(record);
        }
    }
}
