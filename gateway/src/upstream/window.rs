//! Counts requests and failures of the recent past. Pure: the time comes from the caller.

use std::time::{Duration, Instant};

/// In how many steps the past is forgotten.
const BUCKETS: usize = 10;

/// A sliding window in buckets: it covers between nine tenths and all of its length.
#[derive(Debug)]
pub struct Window {
    start: Instant,
    bucket: Duration,
    /// The number of the bucket that counts now, from `start`.
    current: u128,
    buckets: [Tally; BUCKETS],
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
        // Without a length nothing would ever be forgotten: a bucket lasts for ever.
        let bucket = (length / BUCKETS as u32).max(Duration::from_nanos(1));
        Self { start: now, bucket, current: 0, buckets: Default::default(), sum: Tally::default() }
    }

    /// Counts one request; returns all of the window.
    pub fn note(&mut self, failed: bool, now: Instant) -> Tally {
        self.forget(now);
        let bucket = &mut self.buckets[index(self.current)];
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
        let number = now.saturating_duration_since(self.start).as_nanos() / self.bucket.as_nanos();
        // Workers read their clocks at slightly different times: an earlier one counts as now.
        let passed = number.saturating_sub(self.current);
        if passed >= BUCKETS as u128 {
            self.clear();
        } else {
            for step in 1..=passed {
                let old = std::mem::take(&mut self.buckets[index(self.current + step)]);
                self.sum.requests -= old.requests;
                self.sum.failures -= old.failures;
            }
        }
        self.current += passed;
    }
}

fn index(number: u128) -> usize {
    (number % BUCKETS as u128) as usize
}
