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

    /// Returns what is to be told once no event up to the last one is left.
    pub(super) fn is_over(&self, first_left: u64, now: Instant) -> Option<(IncidentId, u64, Duration)> {
        let over = self.waited == 0 || first_left > self.last;
        let took = if self.waited == 0 { Duration::ZERO } else { now - self.since };
        over.then_some((self.incident, self.waited, took))
    }
}
