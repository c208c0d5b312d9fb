use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How long nothing is written after a write has failed for want of room.
const PAUSE: Duration = Duration::from_secs(1);

/// Remembers, from one generation of the repository to the next, that the disk had no room.
///
/// A commit that fails ends the generation, and reads with it for a moment. So commands are refused for a while
/// after one has failed, instead of each ending a generation of its own. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Shortage(Arc<Mutex<Option<Instant>>>);

impl Shortage {
    /// Notes that a write failed for want of room.
    pub(super) fn noted_at(&self, now: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// Whether it is too early to write again.
    pub(super) fn lasts_at(&self, now: Instant) -> bool {
        let noted = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.is_some_and(|noted| now.saturating_duration_since(noted) < PAUSE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_failure_nothing_is_written_for_a_while_and_then_again() {
        let (shortage, now) = (Shortage::default(), Instant::now());
        let next_generation = shortage.clone();

        assert!(!next_generation.lasts_at(now));
        shortage.noted_at(now);

        assert!(next_generation.lasts_at(now + PAUSE / 2));
        assert!(!next_generation.lasts_at(now + PAUSE));
    }
}
