use std::{
    collections::VecDeque,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;
use serde::Serialize;

use super::Exit;

/// One restart: an actor's end and what followed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Restart {
    /// Counts the restarts of this process, from 1.
    pub number: u64,
    /// When the actor ended.
    pub at: Timestamp,
    /// Which actor.
    pub actor: String,
    /// The generation that ended.
    pub generation: u64,
    /// Why it ended.
    pub cause: Exit,
    /// After how many milliseconds the next generation is built.
    pub next_attempt_in_ms: u64,
    /// After how many milliseconds the actor worked again; `None` while it doesn't.
    pub recovered_after_ms: Option<u64>,
}

/// The last restarts of a process, oldest first; bounded.
#[derive(Debug, Default)]
pub(super) struct Timeline(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    last_number: u64,
    restarts: VecDeque<Restart>,
}

impl Timeline {
    /// How many restarts are kept.
    pub(super) const CAPACITY: usize = 1000;

    /// Keeps `restart`, numbers it, and drops the oldest where the timeline is full.
    pub(super) fn push(&self, mut restart: Restart) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.last_number += 1;
        restart.number = entries.last_number;
        if entries.restarts.len() == Self::CAPACITY {
            entries.restarts.pop_front();
        }
        entries.restarts.push_back(restart);
    }

    /// Marks every open restart of `actor` as recovered at `now`.
    pub(super) fn recovered(&self, actor: &str, now: Timestamp) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let open = entries
            .restarts
            .iter_mut()
            .filter(|restart| restart.actor == actor && restart.recovered_after_ms.is_none());
        for restart in open {
            let after = now.as_millisecond() - restart.at.as_millisecond();
            restart.recovered_after_ms = Some(u64::try_from(after).unwrap_or(0));
        }
    }

    /// Returns what is kept.
    pub(super) fn restarts(&self) -> Vec<Restart> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.restarts.iter().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restart(actor: &str, at: Timestamp) -> Restart {
        Restart {
            number: 0,
            at,
            actor: actor.to_owned(),
            generation: 1,
            cause: Exit::Stopped,
            next_attempt_in_ms: 0,
            recovered_after_ms: None,
        }
    }

    #[test]
    fn recovery_closes_every_open_restart_of_the_actor_and_no_other() {
        let timeline = Timeline::default();
        let start = Timestamp::UNIX_EPOCH;
        timeline.push(restart("broker", start));
        timeline.push(restart("relay", start));
        timeline.push(restart("broker", start + std::time::Duration::from_millis(300)));

        timeline.recovered("broker", start + std::time::Duration::from_millis(1000));

        let recovered: Vec<_> = timeline.restarts().into_iter().map(|r| r.recovered_after_ms).collect();
        assert_eq!(recovered, [Some(1000), None, Some(700)]);
    }

    #[test]
    fn the_oldest_restarts_make_room_and_the_numbers_go_on() {
        let timeline = Timeline::default();

        for _ in 0..Timeline::CAPACITY + 5 {
            timeline.push(restart("broker", Timestamp::UNIX_EPOCH));
        }

        let restarts = timeline.restarts();
        assert_eq!(restarts.len(), Timeline::CAPACITY);
        assert_eq!(restarts[0].number, 6);
    }
}
