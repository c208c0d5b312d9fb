//! How many dead letters wait, as it was last counted: whoever asks gets that at once, and as long as somebody asks they
//! are counted again and again.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::{Mutex as Turn, Notify, OwnedMutexGuard};

/// How long a single question counts as asking: longer than Prometheus is usually told to leave between two.
const ASKED_LATELY: Duration = Duration::from_secs(20);

/// How many dead letters waited at some moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// So many.
    pub count: usize,
    /// When they were counted. Long ago, where the broker is away.
    pub counted_at: Timestamp,
}

/// What is known of their number. The time comes from the caller.
#[derive(Debug, Default)]
pub(super) struct Count {
    state: Mutex<State>,
    counting: Arc<Turn<()>>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct State {
    last: Option<Waiting>,
    asked: Option<Instant>,
    is_failing: bool,
}

impl Count {
    /// The last count.
    pub(super) fn last(&self) -> Option<Waiting> {
        self.state().last
    }

    /// Notes that somebody asks. Whoever gets something is the one to count, for as long as it holds that.
    pub(super) fn ask(&self, now: Instant) -> Option<OwnedMutexGuard<()>> {
        self.state().asked = Some(now);
        self.counting.clone().try_lock_owned().ok()
    }

    /// Whether somebody has asked lately.
    pub(super) fn is_asked(&self, now: Instant) -> bool {
        self.state().asked.is_some_and(|asked| now.saturating_duration_since(asked) < ASKED_LATELY)
    }

    /// Says that their number is another one now.
    pub(super) fn outdate(&self) {
        self.changed.notify_one();
    }

    /// Returns once somebody has said so.
    pub(super) async fn outdated(&self) {
        self.changed.notified().await;
    }

    /// Notes what came of counting, and logs the first failure in a row.
    pub(super) fn note(&self, counted: Result<usize, String>, now: Timestamp) {
        let mut state = self.state();
        let was_failing = std::mem::replace(&mut state.is_failing, counted.is_err());
        match counted {
            Ok(count) => state.last = Some(Waiting { count, counted_at: now }),
            Err(error) if !was_failing => log::warn!("event=dead_letters_not_counted error={error:?}"),
            Err(_) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_counts_and_another_one_when_that_one_has_ended() {
        let (count, now) = (Count::default(), Instant::now());

        let counting = count.ask(now);

        assert!(counting.is_some());
        assert!(count.ask(now).is_none(), "somebody counts already");
        drop(counting);
        assert!(count.ask(now).is_some());
    }

    #[test]
    fn a_question_counts_for_a_while() {
        let (count, now) = (Count::default(), Instant::now());
        assert!(!count.is_asked(now));

        count.ask(now);

        assert!(count.is_asked(now + Duration::from_secs(19)));
        assert!(!count.is_asked(now + ASKED_LATELY));
    }

    #[test]
    fn a_failure_leaves_what_was_counted_before() {
        let count = Count::default();
        assert_eq!(count.last(), None);

        count.note(Ok(3), Timestamp::UNIX_EPOCH);
        count.note(Err("the broker is away".to_owned()), Timestamp::MAX);

        assert_eq!(count.last(), Some(Waiting { count: 3, counted_at: Timestamp::UNIX_EPOCH }));
    }
}
