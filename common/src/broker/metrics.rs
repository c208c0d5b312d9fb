use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::{Disposition, PublishOutcome, Subscription};
use crate::telemetry::metrics::{AtScrape, Counter, Family, Gauge, Registry};

/// What the broker links of a process count; registered once, shared by every generation.
#[derive(Clone, Debug)]
pub struct BrokerMetrics {
    pub(super) service: &'static str,
    pub(super) connected: Gauge,
    pub(super) blocked: Blocks,
    confirms: Family<[(&'static str, &'static str); 1], Counter>,
    deliveries: Family<[(&'static str, &'static str); 2], Counter>,
}

impl BrokerMetrics {
    /// Registers `<service>_broker_…`.
    pub fn register(service: &'static str, registry: &mut Registry) -> Self {
        let metrics = Self {
            service,
            connected: Gauge::default(),
            blocked: Blocks::default(),
            confirms: Family::default(),
            deliveries: Family::default(),
        };
        for outcome in PublishOutcome::LABELS {
            drop(metrics.confirms.get_or_create(&[("outcome", outcome)]));
        }
        let name = |thing: &str| format!("{service}_broker_{thing}");
        registry.register(name("connected"), "1 while the link works", metrics.connected.clone());
        let (now, ever) = (metrics.blocked.clone(), metrics.blocked.clone());
        let is_blocked = AtScrape::gauge(move || f64::from(u8::from(now.lasts())));
        let seconds = AtScrape::counter(move || ever.in_all(Instant::now()).as_secs_f64());
        registry.register(name("blocked"), "1 while the broker takes no messages", is_blocked);
        registry.register(
            name("blocked_seconds"),
            "How long the broker took no messages, in all and until now",
            seconds,
        );
        registry.register(name("confirms"), "Messages published, by outcome", metrics.confirms.clone());
        registry.register(
            name("deliveries"),
            "Deliveries answered, by queue and disposition: dead went to the dead letters, retry will come again",
            metrics.deliveries.clone(),
        );
        metrics
    }

    /// Shows what is counted of these subscriptions before the first delivery comes.
    pub(super) fn expect(&self, subscriptions: &[Subscription]) {
        for Subscription { queue, .. } in subscriptions {
            for disposition in Disposition::LABELS {
                drop(self.deliveries.get_or_create(&[("queue", queue), ("disposition", disposition)]));
            }
        }
    }

    pub(super) fn count_outcome(&self, outcome: &PublishOutcome) {
        self.confirms.get_or_create(&[("outcome", outcome.label())]).inc();
    }

    pub(super) fn count_delivery(&self, queue: &'static str, disposition: &'static str) {
        self.deliveries.get_or_create(&[("queue", queue), ("disposition", disposition)]).inc();
    }
}

/// Whether the broker takes no messages, and for how long it took none. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Blocks(Arc<Mutex<Stopwatch>>);

#[derive(Debug, Default)]
struct Stopwatch {
    since: Option<Instant>,
    before: Duration,
}

impl Blocks {
    /// Says whether it is so, now.
    pub(super) fn set(&self, blocked: bool, now: Instant) {
        let mut watch = self.lock();
        watch.before = watch.elapsed(now);
        watch.since = blocked.then_some(now);
    }

    fn lasts(&self) -> bool {
        self.lock().since.is_some()
    }

    fn in_all(&self, now: Instant) -> Duration {
        self.lock().elapsed(now)
    }

    fn lock(&self) -> MutexGuard<'_, Stopwatch> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Stopwatch {
    fn elapsed(&self, now: Instant) -> Duration {
        self.before + self.since.map_or(Duration::ZERO, |since| now.saturating_duration_since(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocked_time_adds_up_and_counts_while_it_lasts() {
        let (blocks, start) = (Blocks::default(), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);

        assert_eq!((blocks.lasts(), blocks.in_all(at(1))), (false, Duration::ZERO));
        blocks.set(true, at(1));
        assert_eq!((blocks.lasts(), blocks.in_all(at(3))), (true, Duration::from_secs(2)));
        // Another reason for the same thing.
        blocks.set(true, at(4));
        blocks.set(false, at(6));
        blocks.set(false, at(7));
        assert_eq!((blocks.lasts(), blocks.in_all(at(9))), (false, Duration::from_secs(5)));
        blocks.set(true, at(10));
        assert_eq!(blocks.in_all(at(11)), Duration::from_secs(6));
    }
}
