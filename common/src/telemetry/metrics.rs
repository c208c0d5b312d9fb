//! Metrics in the Prometheus text format, one registry a service.
//!
//! Rooms register what they count while the service is put together, by `<service>_<thing>_<unit>`; then the
//! registry is frozen and only read.

use std::sync::Arc;

pub use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// The `Content-Type` of what [`Metrics::encode`] returns.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// A service's frozen registry.
#[derive(Clone)]
pub struct Metrics(Arc<Registry>);

impl Metrics {
    /// Freezes `registry`.
    pub fn new(registry: Registry) -> Self {
        Self(Arc::new(registry))
    }

    /// Writes every metric in the Prometheus text format.
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
