//! What the world was promised.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::harness::System;

use super::audit;

/// What clients were told.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Users who were registered, by id, and their names.
    pub users: BTreeMap<String, String>,
    /// Orders that were accepted, by id, and whose they are.
    pub placed: BTreeMap<String, String>,
    /// Which of them were cancelled.
    pub cancelled: BTreeSet<String>,
    /// How often something was refused, by the answer.
    pub refused: BTreeMap<String, u64>,
    /// How often nobody knew what had happened, by the reason.
    pub unknown: BTreeMap<String, u64>,
    /// How often nobody listened.
    pub not_connected: BTreeMap<String, u64>,
    /// Wishes of which nobody knew in the end what had become of them.
    pub undecided: Vec<String>,
    /// Answers that cannot both be true, or say what no answer may.
    pub contradictions: Vec<String>,
    /// The longest time from the wish for an order to its acceptance.
    pub slowest: Duration,
    /// The longest time under load in which no order was accepted.
    pub longest_gap: Duration,
    /// When the load began or an order was accepted, whatever was last.
    gap_since: Option<Instant>,
}

impl Ledger {
    /// Notes that the load begins, or ends, now: until the first order is accepted, and after the last, none is either.
    pub(super) fn ends_gap(&mut self, now: Instant) {
        if let Some(since) = self.gap_since.replace(now) {
            self.longest_gap = self.longest_gap.max(now - since);
        }
    }

    /// Notes that an order was accepted, which was asked for at `begun`.
    pub(super) fn accepted(&mut self, id: String, user: String, begun: Instant) {
        let now = Instant::now();
        self.slowest = self.slowest.max(now - begun);
        self.ends_gap(now);
        if self.placed.contains_key(&id) {
            self.contradictions.push(format!("two orders have the id {id}"));
        }
        self.placed.insert(id, user);
    }

    pub(super) fn refused(&mut self, answer: String) {
        *self.refused.entry(answer).or_default() += 1;
    }

    pub(super) fn unknown(&mut self, reason: String) {
        *self.unknown.entry(reason).or_default() += 1;
    }

    pub(super) fn not_connected(&mut self, reason: String) {
        *self.not_connected.entry(reason).or_default() += 1;
    }

    /// Adds what others were told at another time.
    pub fn add(&mut self, other: Self) {
        self.users.extend(other.users);
        self.placed.extend(other.placed);
        self.cancelled.extend(other.cancelled);
        for (counts, more) in [
            (&mut self.refused, other.refused),
            (&mut self.unknown, other.unknown),
            (&mut self.not_connected, other.not_connected),
        ] {
            more.into_iter().for_each(|(what, count)| *counts.entry(what).or_default() += count);
        }
        self.undecided.extend(other.undecided);
        self.contradictions.extend(other.contradictions);
        self.slowest = self.slowest.max(other.slowest);
        self.longest_gap = self.longest_gap.max(other.longest_gap);
    }

    /// How many orders each user has who was registered, less those that were cancelled.
    pub fn expected_counts(&self) -> BTreeMap<&str, i64> {
        let mut expected: BTreeMap<&str, i64> = self.users.keys().map(|user| (user.as_str(), 0)).collect();
        for (order, user) in &self.placed {
            *expected.entry(user).or_default() += i64::from(!self.cancelled.contains(order));
        }
        expected
    }

    /// Asserts that every wish was granted at the first attempt.
    #[track_caller]
    pub fn assert_untroubled(&self) {
        assert!(self.refused.is_empty(), "refused: {:?}", self.refused);
        assert!(self.unknown.is_empty(), "unknown: {:?}", self.unknown);
        assert!(self.not_connected.is_empty(), "not connected: {:?}", self.not_connected);
    }

    /// Prints what clients were told.
    pub fn print(&self, story: &str) {
        crate::note!(
            "{story}: {} orders, {} cancelled, {} users, slowest {:?}; refused {:?}; unknown {:?}; not connected {:?}",
            self.placed.len(),
            self.cancelled.len(),
            self.users.len(),
            self.slowest,
            self.refused,
            self.unknown,
            self.not_connected,
        );
    }

    /// Checks to the last order that the system holds what clients were told, and nothing else, once nothing is on its
    /// way any more: [`audit::run`].
    ///
    /// # Panics
    ///
    /// When it does not, or something is still on its way after 40 s.
    pub async fn audit(&self, system: &System) {
        assert!(!self.placed.is_empty(), "an audit of nothing proves nothing");
        let findings = audit::run(self, system, Duration::from_secs(40)).await;
        assert!(findings.is_empty(), "{findings:#?}");
    }
}

/// A ledger that many write.
#[derive(Clone, Default)]
pub(super) struct SharedLedger(Arc<Mutex<Ledger>>);

impl SharedLedger {
    pub fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_that_is_cancelled_does_not_count() {
        let users = ["a", "b", "c"].map(|user| (user.to_owned(), String::new())).into();
        let mut ledger = Ledger { users, ..Ledger::default() };
        for (order, user) in [("1", "a"), ("2", "a"), ("3", "b")] {
            ledger.accepted(order.to_owned(), user.to_owned(), Instant::now());
        }
        ledger.cancelled.insert("3".to_owned());

        assert_eq!(ledger.expected_counts(), [("a", 2), ("b", 0), ("c", 0)].into());
    }

    #[test]
    fn the_time_before_the_first_order_and_after_the_last_is_an_outage_too() {
        let begun = Instant::now();
        let mut ledger = Ledger::default();
        ledger.ends_gap(begun);
        ledger.ends_gap(begun + Duration::from_secs(3));
        assert_eq!(ledger.longest_gap, Duration::from_secs(3), "nothing was accepted");

        ledger.accepted("1".to_owned(), "a".to_owned(), begun);
        let accepted = ledger.gap_since.expect("an order was accepted");
        ledger.ends_gap(accepted + Duration::from_secs(9));
        assert_eq!(ledger.longest_gap, Duration::from_secs(9));
    }

    #[test]
    fn an_id_that_is_given_twice_is_a_contradiction() {
        let mut ledger = Ledger::default();
        ledger.accepted("1".to_owned(), "a".to_owned(), Instant::now());
        assert!(ledger.contradictions.is_empty());

        ledger.accepted("1".to_owned(), "b".to_owned(), Instant::now());

        assert_eq!(ledger.contradictions, ["two orders have the id 1"]);
    }
}
