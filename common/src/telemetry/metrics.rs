//! Metrics in the OpenMetrics text format, one registry a service.
//!
//! Rooms register what they count while the service is put together, by `<service>_<thing>_<unit>`; then the
//! registry is frozen and only read. What can be read when somebody asks is read then ([`AtScrape`]) and costs nothing
//! before. A counter by a label that is known beforehand begins at 0, so that its first step is seen as one.

use std::{fmt, sync::Arc};

pub use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use super::process::Process;

/// The `Content-Type` of what [`Metrics::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A registry that tells of the process itself: what was built into it, and what it takes of the machine.
pub fn registry(service: &'static str) -> Registry {
    let mut registry = Registry::default();
    let build =
        AtScrape::gauges(move || [([("service", service), ("version", env!("CARGO_PKG_VERSION"))], 1.0)]);
    registry.register("warren_build_info", "Always 1, by service and version", build);
    registry.register_collector(Box::new(Process::new()));
    registry
}

/// A service's frozen registry.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

impl Metrics {
    /// Freezes `registry`.
    pub fn new(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    /// Writes every metric in the OpenMetrics text format.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.0) {
            Ok(()) => text,
            Err(error) => {
                log::error!("event=metrics_not_encoded error={error}");
                String::new()
            }
        }
    }
}

/// A metric whose value is read when somebody asks for it. Reading must neither wait nor fail.
pub struct AtScrape {
    kind: MetricType,
    write: Box<dyn Fn(MetricEncoder<'_>) -> fmt::Result + Send + Sync>,
}

impl AtScrape {
    /// One value that goes up and down.
    pub fn gauge(read: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        let write = move |mut encoder: MetricEncoder<'_>| encoder.encode_gauge(&read());
        Self { kind: MetricType::Gauge, write: Box::new(write) }
    }

    /// One value that goes up and down, and is absent while nobody knows it.
    pub fn gauge_if_known(read: impl Fn() -> Option<f64> + Send + Sync + 'static) -> Self {
        let write = move |mut encoder: MetricEncoder<'_>| match read() {
            Some(value) => encoder.encode_gauge(&value),
            None => Ok(()),
        };
        Self { kind: MetricType::Gauge, write: Box::new(write) }
    }

    /// One value that only goes up.
    pub fn counter(read: impl Fn() -> f64 + Send + Sync + 'static) -> Self {
        let write =
            move |mut encoder: MetricEncoder<'_>| encoder.encode_counter::<NoLabelSet, _, u64>(&read(), None);
        Self { kind: MetricType::Counter, write: Box::new(write) }
    }

    /// Values that go up and down, each with its labels.
    pub fn gauges<L: EncodeLabelSet, I: IntoIterator<Item = (L, f64)>>(
        read: impl Fn() -> I + Send + Sync + 'static,
    ) -> Self {
        let write = move |mut encoder: MetricEncoder<'_>| {
            read()
                .into_iter()
                .try_for_each(|(labels, value)| encoder.encode_family(&labels)?.encode_gauge(&value))
        };
        Self { kind: MetricType::Gauge, write: Box::new(write) }
    }
}

impl EncodeMetric for AtScrape {
    fn encode(&self, encoder: MetricEncoder<'_>) -> fmt::Result {
        (self.write)(encoder)
    }

    fn metric_type(&self) -> MetricType {
        self.kind
    }
}

impl fmt::Debug for AtScrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AtScrape").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_at_the_scrape_is_written_as_it_is_then() {
        let mut registry = Registry::default();
        registry.register("age_seconds", "Age", AtScrape::gauge(|| 2.5));
        registry.register("length", "Length", AtScrape::gauge_if_known(|| Some(1.5)));
        registry.register("depth", "Depth", AtScrape::gauge_if_known(|| None));
        registry.register("waited_seconds", "Waited", AtScrape::counter(|| 0.0));
        let states = || vec![([("state", "open".to_owned())], 1.0), ([("state", "shut".to_owned())], 0.0)];
        registry.register("doors", "Doors", AtScrape::gauges(states));

        assert_eq!(
            Metrics::new(registry).encode(),
            "# HELP age_seconds Age.\n# TYPE age_seconds gauge\nage_seconds 2.5\n\
             # HELP length Length.\n# TYPE length gauge\nlength 1.5\n\
             # HELP depth Depth.\n# TYPE depth gauge\n\
             # HELP waited_seconds Waited.\n# TYPE waited_seconds counter\nwaited_seconds_total 0.0\n\
             # HELP doors Doors.\n# TYPE doors gauge\ndoors{state=\"open\"} 1.0\ndoors{state=\"shut\"} 0.0\n\
             # EOF\n"
        );
    }
}
