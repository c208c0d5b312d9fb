use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use jiff::Timestamp;

use crate::telemetry::metrics::{AtScrape, Counter, Family, Gauge, Histogram, Registry};

/// What the repository counts; registered once a process, handed to every generation.
#[derive(Clone)]
pub struct StoreMetrics {
    pending: Gauge,
    oldest: Arc<AtomicI64>,
    commit_seconds: Histogram,
    batch: Histogram,
}

/// Nothing waits.
const NONE: i64 = i64::MAX;

impl StoreMetrics {
    /// Registers `<service>_outbox_…` and `<service>_store_…`.
    pub fn register(service: &str, registry: &mut Registry) -> Self {
        let seconds = [0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0];
        let commands = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];
        let metrics = Self {
            pending: Gauge::default(),
            oldest: Arc::new(AtomicI64::new(NONE)),
            commit_seconds: Histogram::new(seconds),
            batch: Histogram::new(commands),
        };
        let Self { pending, oldest, commit_seconds, batch } = metrics.clone();
        let age = AtScrape::gauge(move || age(oldest.load(Ordering::Relaxed), Timestamp::now()));
        registry.register(format!("{service}_outbox_pending"), "Events that wait for the broker", pending);
        registry.register(
            format!("{service}_outbox_oldest_seconds"),
            "How long the oldest event has waited for the broker, 0 where none waits",
            age,
        );
        registry.register(format!("{service}_store_commit_seconds"), "Time of a commit", commit_seconds);
        registry.register(format!("{service}_store_batch_commands"), "Commands in a commit", batch);
        metrics
    }

    /// Shows how many events wait, and since when the oldest does.
    pub(super) fn waiting(&self, pending: u64, oldest: Option<Timestamp>) {
        self.pending.set(i64::try_from(pending).unwrap_or(i64::MAX));
        self.oldest.store(oldest.map_or(NONE, Timestamp::as_millisecond), Ordering::Relaxed);
    }

    /// Counts a commit of so many commands.
    pub(super) fn committed(&self, commands: usize, seconds: f64) {
        self.commit_seconds.observe(seconds);
        self.batch.observe(commands as f64);
    }
}

fn age(oldest: i64, now: Timestamp) -> f64 {
    match oldest {
        NONE => 0.0,
        // The clock may have been set back since.
        oldest => (now.as_millisecond() - oldest).max(0) as f64 / 1000.0,
    }
}

/// What came of the events that the consumers were given; registered once a process, handed to every generation.
#[derive(Clone)]
pub struct InboxMetrics(Family<[(&'static str, &'static str); 2], Counter>);

impl InboxMetrics {
    /// Registers `<service>_inbox_events_total`.
    pub fn register(service: &str, registry: &mut Registry) -> Self {
        let events = Family::default();
        registry.register(
            format!("{service}_inbox_events"),
            "Events that a consumer was given, by queue and outcome: seen_before is a duplicate, which changes nothing",
            events.clone(),
        );
        Self(events)
    }

    /// Finds where this outcome is counted of the events of `queue`.
    pub(crate) fn of(&self, queue: &'static str, outcome: &'static str) -> Counter {
        self.0.get_or_create_owned(&[("queue", queue), ("outcome", outcome)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_wait_has_no_age_and_a_clock_set_back_makes_none_negative() {
        let at = |millis| Timestamp::from_millisecond(millis).expect("a time");

        assert_eq!(age(NONE, at(5_000)), 0.0);
        assert_eq!(age(2_500, at(5_000)), 2.5);
        assert_eq!(age(9_000, at(5_000)), 0.0);
    }
}
