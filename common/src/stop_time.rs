//! How long a stop may take, and how its steps share that.

use std::time::{Duration, Instant};

/// How long a stop may take in all, before the process ends anyway: whoever asked for it waits a second longer.
pub(crate) const IN_ALL: Duration = Duration::from_secs(24);

/// What of it is kept for the last steps, each of which is bounded by itself: ledger and timeline (0.5 s each) and the spans
/// (2 s, where a collector takes none).
const LAST_STEPS: Duration = Duration::from_secs(3);

/// How long consumers may take to finish what they have in hand.
const CONSUMERS: Duration = Duration::from_secs(5);

/// How much longer the broker actor may take to say that they have.
const ANSWER: Duration = Duration::from_millis(500);

/// How long the outbox may take to empty; what is left goes at the next start.
const OUTBOX: Duration = Duration::from_secs(5);

/// The time of a stop: whatever one step takes, the next ones have what is left.
pub(crate) struct StopTime {
    end: Instant,
}

impl StopTime {
    /// The stop begins.
    pub(crate) fn begin(now: Instant) -> Self {
        Self { end: now + IN_ALL - LAST_STEPS }
    }

    /// How long the consumers have, and until when that is to be answered. Where little is left, half of it is the outbox's.
    pub(crate) fn for_consumers(&self, now: Instant) -> (Duration, Duration) {
        let within = CONSUMERS.min(self.left(now) / 2);
        (within, within + ANSWER)
    }

    /// How long the outbox has.
    pub(crate) fn for_outbox(&self, now: Instant) -> Duration {
        OUTBOX.min(self.left(now))
    }

    fn left(&self, now: Instant) -> Duration {
        self.end.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::{HttpConfig, QUIET_MAX};

    #[test]
    fn however_long_the_server_drained_each_step_has_some_time_and_the_last_ends_in_time() {
        let begin = Instant::now();
        for drain in [Duration::ZERO, HttpConfig::default().drain, HttpConfig::DRAIN_MAX] {
            let time = StopTime::begin(begin);
            let drained = begin + drain + QUIET_MAX;
            let (consumers, answered) = time.for_consumers(drained);
            let outbox = time.for_outbox(drained + answered);

            assert!(consumers >= Duration::from_secs(1), "{consumers:?} after {drain:?}");
            assert!(outbox >= Duration::from_secs(1), "{outbox:?} after {drain:?}");
            assert!(drained + answered + outbox + LAST_STEPS <= begin + IN_ALL);
        }
    }

    #[test]
    fn a_stop_in_no_hurry_gives_its_steps_all_that_they_may_take() {
        let begin = Instant::now();
        let time = StopTime::begin(begin);

        assert_eq!(time.for_consumers(begin).0, CONSUMERS);
        assert_eq!(time.for_outbox(begin + CONSUMERS), OUTBOX);
        assert_eq!(time.for_outbox(begin + IN_ALL), Duration::ZERO);
    }
}
