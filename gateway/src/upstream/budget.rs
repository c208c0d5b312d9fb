//! How many retries there may be. Pure: the time comes from the caller.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// A retry costs so many credits, so that a request can earn a part of one.
const RETRY: u64 = 1000;
/// Requests save up for retries at most so long: what so many of them earn.
const SAVED_REQUESTS: u64 = 100;
/// What a quiet system may always retry: so many at once,
const FLOOR: u64 = 3;
/// and one more after each such time.
const FLOOR_EVERY: Duration = Duration::from_secs(1);

/// Every request earns a part of a retry, so that retries cannot multiply what a struggling service gets.
///
/// A system with few requests could never retry by that alone: a small floor is added, whatever was earned.
#[derive(Debug)]
pub struct RetryBudget {
    /// What a request earns.
    credit: AtomicU64,
    earned: AtomicU64,
    floor: Mutex<Floor>,
}

#[derive(Debug)]
struct Floor {
    left: u64,
    /// Up to when it was regained.
    at: Instant,
}

impl RetryBudget {
    /// Lets there be `ratio` retries for a request; none at all where that is 0.
    pub fn new(ratio: f64, now: Instant) -> Self {
        Self {
            credit: AtomicU64::new(credit(ratio)),
            earned: AtomicU64::new(0),
            floor: Mutex::new(Floor { left: FLOOR, at: now }),
        }
    }

    /// Goes on with another ratio.
    pub fn configure(&self, ratio: f64) {
        self.credit.store(credit(ratio), Ordering::Relaxed);
    }

    /// Earns what one request earns.
    pub fn earn(&self) {
        let credit = self.credit.load(Ordering::Relaxed);
        // Workers that do this at the same moment overshoot by a credit each, which is nothing.
        if self.earned.load(Ordering::Relaxed) < credit * SAVED_REQUESTS {
            self.earned.fetch_add(credit, Ordering::Relaxed);
        }
    }

    /// Takes one retry; returns whether there was one.
    pub fn take(&self, now: Instant) -> bool {
        if self.credit.load(Ordering::Relaxed) == 0 {
            return false;
        }
        let pay = |earned: u64| earned.checked_sub(RETRY);
        if self.earned.fetch_update(Ordering::Relaxed, Ordering::Relaxed, pay).is_ok() {
            return true;
        }
        self.floor.lock().unwrap_or_else(PoisonError::into_inner).take(now)
    }
}

impl Floor {
    fn take(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.at).as_nanos() / FLOOR_EVERY.as_nanos();
        let regained = u32::try_from(passed).unwrap_or(u32::MAX);
        self.left = (self.left + u64::from(regained)).min(FLOOR);
        self.at += FLOOR_EVERY * regained;
        let taken = self.left > 0;
        self.left -= u64::from(taken);
        taken
    }
}

fn credit(ratio: f64) -> u64 {
    // Saturates; a ratio that is no number earns nothing.
    (ratio.clamp(0.0, 1.0) * RETRY as f64).round() as u64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn taken(budget: &RetryBudget, now: Instant) -> usize {
        (0..1000).take_while(|_| budget.take(now)).count()
    }

    #[test]
    fn ten_requests_earn_one_retry() {
        let now = Instant::now();
        let budget = RetryBudget::new(0.1, now);
        assert_eq!(taken(&budget, now), 3, "the floor");

        for _ in 0..19 {
            budget.earn();
        }
        assert_eq!(taken(&budget, now), 1);
        budget.earn();

        assert_eq!(taken(&budget, now), 1, "what is left over is kept");
    }

    #[test]
    fn a_quiet_system_regains_its_floor_by_the_second() {
        let now = Instant::now();
        let budget = RetryBudget::new(0.1, now);
        assert_eq!(taken(&budget, now), 3);

        assert_eq!(taken(&budget, now + SECOND / 2), 0);
        assert_eq!(taken(&budget, now + SECOND), 1);
        assert_eq!(taken(&budget, now + 3 * SECOND), 2);
        assert_eq!(taken(&budget, now + 3600 * SECOND), 3);
    }

    #[test]
    fn requests_save_up_for_a_bounded_number_of_retries() {
        let now = Instant::now();
        let budget = RetryBudget::new(0.1, now);

        for _ in 0..100_000 {
            budget.earn();
        }

        assert_eq!(taken(&budget, now), 10 + 3);
    }

    #[test]
    fn without_a_ratio_nothing_is_retried() {
        let now = Instant::now();
        for ratio in [0.0, -1.0, f64::NAN] {
            let budget = RetryBudget::new(ratio, now);
            budget.earn();

            assert!(!budget.take(now), "{ratio}");
        }
    }

    proptest! {
        #[test]
        fn retries_stay_within_their_part_of_the_requests_and_the_floor(
            ratio in 0.0..0.5_f64,
            steps in prop::collection::vec((0..20_u32, 0..20_u32, 0..2_000_u64), 1..100),
        ) {
            let start = Instant::now();
            let budget = RetryBudget::new(ratio, start);
            let (mut requests, mut retries, mut passed) = (0, 0, 0);

            for (earning, asking, millis) in steps {
                passed += millis;
                requests += earning;
                (0..earning).for_each(|_| budget.earn());
                retries += (0..asking).filter(|_| budget.take(start + Duration::from_millis(passed))).count();
            }

            // The ratio is rounded to thousandths.
            let most = (ratio + 0.0005) * f64::from(requests) + 3.0 + (passed / 1000) as f64;
            prop_assert!(retries as f64 <= most, "{} of {} requests in {} ms", retries, requests, passed);
        }
    }
}
