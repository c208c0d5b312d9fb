use std::sync::atomic::{AtomicI64, AtomicU64};

use super::PublishOutcome;
use crate::telemetry::metrics::{Counter, Family, Gauge, Registry};

/// What the broker links of a process count; registered once, shared by every generation.
#[derive(Clone, Debug)]
pub struct BrokerMetrics {
    pub(super) service: &'static str,
    pub(super) connected: Gauge<i64, AtomicI64>,
    pub(super) blocked: Gauge<i64, AtomicI64>,
    confirms: Family<[(&'static str, &'static str); 1], Counter<u64, AtomicU64>>,
    deliveries: Family<[(&'static str, &'static str); 2], Counter<u64, AtomicU64>>,
}

impl BrokerMetrics {
    /// Registers `<service>_broker_…`.
    pub fn register(service: &'static str, registry: &mut Registry) -> Self {
        let metrics = Self {
            service,
            connected: Gauge::default(),
            blocked: Gauge::default(),
            confirms: Family::default(),
            deliveries: Family::default(),
        };
        let name = |thing: &str| format!("{service}_broker_{thing}");
        registry.register(name("connected"), "1 while the link works", metrics.connected.clone());
        registry.register(name("blocked"), "1 while the broker takes no messages", metrics.blocked.clone());
        registry.register(name("confirms"), "Messages published, by outcome", metrics.confirms.clone());
        registry.register(
            name("deliveries"),
            "Deliveries answered, by disposition",
            metrics.deliveries.clone(),
        );
        metrics
    }

    pub(super) fn count_outcome(&self, outcome: &PublishOutcome) {
        self.confirms.get_or_create(&[("outcome", outcome.label())]).inc();
    }

    pub(super) fn count_delivery(&self, queue: &'static str, disposition: &'static str) {
        self.deliveries.get_or_create(&[("queue", queue), ("disposition", disposition)]).inc();
    }
}
