//! Spans: which piece of work belongs to which request, and how long it took, as OpenTelemetry has them.
//!
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector; then a [`Span`] is two ids and no memory is asked for. Where
//! it is on, a span that ends goes into a bounded queue, and a thread of its own sends what has gathered there as
//! OTLP/HTTP in JSON. Nobody ever waits for it: while the collector is away the queue fills up, and what finds no place is
//! counted and let go. That is some hundred lines, where OpenTelemetry's own crates are two dozen.
//!
//! The ids are those that travel in `traceparent` ([`trace`](super::trace)), so no span names a parent that does not exist,
//! unless its process was killed before it could send it.

mod config;
mod span;

mod export;
mod otlp;

use std::sync::OnceLock;

use super::{
    metrics::Registry,
    trace::{TraceContext, sample_by},
};
use export::Exporter;

pub use config::SpansConfig;
pub use span::{Span, SpanKind, SpanRecord, SpanValue};

/// The process's exporter, where there is one.
static EXPORTER: OnceLock<Exporter> = OnceLock::new();

/// Starts to send the process's spans.
pub fn start(config: SpansConfig) {
    sample_by(config.sampler);
    match Exporter::start(config) {
        // The first one holds.
        Ok(exporter) => drop(EXPORTER.set(exporter)),
        Err(error) => log::error!("event=spans_not_started error={:?}", error.to_string()),
    }
}

/// Registers `<service>_spans_exported_total` and `<service>_spans_dropped_total`, where spans are sent at all.
pub fn register(service: &str, registry: &mut Registry) {
    if let Some(exporter) = EXPORTER.get() {
        exporter.register(service, registry);
    }
}

/// Sends what has gathered, for at most 2 s, as the last thing that a process does.
pub fn finish() {
    if let Some(exporter) = EXPORTER.get() {
        exporter.finish();
    }
}

/// Whether a span at `context` is recorded; asked before anything is done for one.
pub fn are_recorded_at(context: TraceContext) -> bool {
    context.is_recorded() && EXPORTER.get().is_some()
}

/// Hands over a span that has ended.
pub fn keep(record: SpanRecord) {
    if let Some(exporter) = EXPORTER.get() {
        exporter.offer(record);
    }
}
