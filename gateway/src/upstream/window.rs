//! Counts requests and failures of the recent past. Pure: the time comes from the caller.

use std::time::{Duration, Instant};

/// In how many steps the past is forgotten.
const BUCKETS: usize = 10;

/// A sliding window in buckets: it covers between nine tenths and all of its length.
#[derive(Debug)]
pub struct Window {
    buckets: [Tally; BUCKETS],
    /// The one that counts now.
    current: usize,
    /// When its time is over.
    ends: Instant,
    /// How long each counts.
    each: Duration,
    sum: Tally,
}

/// What was counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// All requests.
    pub requests: u32,
    /// Those that failed.
    pub failures: u32,
}

impl Window {
    /// An empty window of `length`.
    pub fn new(length: Duration, now: Instant) -> Self {
        // A bucket without a length would never be left.
        let each = (length / BUCKETS as u32).max(Duration::from_nanos(1));
        Self { buckets: Default::default(), current: 0, ends: now + each, each, sum: Tally::default() }
    }

    /// Counts one request; returns all of the window.
    pub fn note(&mut self, failed: bool, now: Instant) -> Tally {
        self.forget(now);
        let bucket = &mut self.buckets[self.current];
        bucket.requests += 1;
        bucket.failures += u32::from(failed);
        self.sum.requests += 1;
        self.sum.failures += u32::from(failed);
        self.sum
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.buckets = Default::default();
        self.sum = Tally::default();
    }

    fn forget(&mut self, now: Instant) {
        // So it is for nearly every request. Workers read their clocks at slightly different times: an earlier
        // one counts as now.
        if now < self.ends {
            return;
        }
        let late = now - self.ends;
        if late >= self.each * BUCKETS as u32 {
            self.clear();
            self.ends = now + self.each;
            return;
        }
        while now >= self.ends {
            self.current = (self.current + 1) % BUCKETS;
            let old = std::mem::take(&mut self.buckets[self.current]);
            self.sum.requests -= old.requests;
            self.sum.failures -= old.failures;
            self.ends += self.each;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn what_is_longer_ago_than_the_window_is_forgotten() {
        let start = Instant::now();
        let mut window = Window::new(10 * SECOND, start);

        window.note(true, start);
        window.note(false, start + 3 * SECOND);

        assert_eq!(window.note(true, start + 9 * SECOND), Tally { requests: 3, failures: 2 });
        assert_eq!(window.note(false, start + 10 * SECOND), Tally { requests: 3, failures: 1 });
        assert_eq!(window.note(false, start + 13 * SECOND), Tally { requests: 3, failures: 1 });
        assert_eq!(window.note(false, start + 3600 * SECOND), Tally { requests: 1, failures: 0 });
    }

    #[test]
    fn a_clock_that_is_behind_counts_as_now() {
        let start = Instant::now();
        let mut window = Window::new(10 * SECOND, start);

        window.note(true, start + 60 * SECOND);

        assert_eq!(window.note(true, start + 30 * SECOND), Tally { requests: 2, failures: 2 });
        assert_eq!(window.note(true, start + 69 * SECOND), Tally { requests: 3, failures: 3 });
    }

    #[test]
    fn a_window_without_a_length_holds_a_moment() {
        let start = Instant::now();
        let mut window = Window::new(Duration::ZERO, start);

        window.note(true, start);

        assert_eq!(window.note(true, start + SECOND), Tally { requests: 1, failures: 1 });
    }

    proptest::proptest! {
        #[test]
        fn the_sum_is_that_of_a_plain_count(steps in proptest::collection::vec((0_u64..4_000, proptest::bool::ANY), 1..200)) {
            let start = Instant::now();
            let mut window = Window::new(10 * SECOND, start);
            let mut noted: Vec<(u64, bool)> = Vec::new();
            let mut at = 0;

            for (step, failed) in steps {
                at += step;
                noted.push((at, failed));
                let tally = window.note(failed, start + Duration::from_millis(at));

                // Ten buckets of a second: the current one and the nine before it.
                let recent = noted.iter().filter(|(then, _)| then / 1000 + 10 > at / 1000);
                let expected = recent.fold(Tally::default(), |sum, (_, failed)| Tally {
                    requests: sum.requests + 1,
                    failures: sum.failures + u32::from(*failed),
                });
                proptest::prop_assert_eq!(tally, expected);
            }
        }
    }
}
