use std::time::{Duration, Instant};

use crate::{store::OutboxDepthAnswer, timeline::IncidentId};

/// What waited when an outage was over.
#[derive(Debug)]
pub(super) struct Drain {
    incident: IncidentId,
    since: Instant,
    waited: u64,
    /// The number of the last event that waited.
    last: u64,
}

impl Drain {
    pub(super) fn begin(incident: IncidentId, since: Instant, depth: OutboxDepthAnswer) -> Self {
        Self { incident, since, waited: depth.waiting, last: depth.last }
    }

    /// Returns what is to be told once no event up to the last one is left: neither in hand, where `in_hand` is the first,
    /// nor in the outbox from `unread` on.
    pub(super) fn is_over(
        &self,
        in_hand: Option<u64>,
        unread: Option<u64>,
        now: Instant,
    ) -> Option<(IncidentId, u64, Duration)> {
        let left = [in_hand, unread].into_iter().flatten().any(|first| first <= self.last);
        match self.waited {
            0 => Some((self.incident, 0, Duration::ZERO)),
            waited => (!left).then(|| (self.incident, waited, now - self.since)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::timeline::{IncidentKind, Timeline};

    /// Whether ten events, up to number 20, have left by now.
    fn is_over(in_hand: Option<u64>, unread: Option<u64>) -> bool {
        let incident = Timeline::open("shop", None).begin(IncidentKind::Link, "broker", "reset");
        let now = Instant::now();
        let drain = Drain::begin(incident, now, OutboxDepthAnswer { waiting: 10, last: 20 });
        drain.is_over(in_hand, unread, now).is_some()
    }

    #[test]
    fn what_came_after_the_outage_does_not_prolong_it() {
        assert!(!is_over(Some(20), None));
        assert!(is_over(Some(21), None));
        assert!(is_over(None, None));
    }

    #[test]
    fn what_is_just_being_read_still_waits() {
        assert!(!is_over(None, Some(11)));
        assert!(!is_over(Some(21), Some(20)));
        assert!(is_over(None, Some(21)));
    }
}
