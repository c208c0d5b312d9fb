//! Stops asking a service that keeps failing. Pure: the time comes from the caller.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// When to stop asking, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// So many failures one after the other open the breaker.
    pub failures_in_a_row: u32,
    /// So do half of the requests within this time,
    pub within: Duration,
    /// where there were at least so many.
    pub at_least: usize,
    /// How long it stays open before one request probes.
    pub open_for: Duration,
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            within: Duration::from_secs(10),
            at_least: 20,
            open_for: Duration::from_secs(5),
        }
    }
}

/// Most requests that are remembered, however many there are within [`BreakerPolicy::within`].
const REMEMBERED: usize = 1000;

/// Admits requests while the service works.
#[derive(Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: State,
    in_a_row: u32,
    /// When a request ended, and whether it failed.
    recent: VecDeque<(Instant, bool)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One request is on its way to find out; given up for lost after `until`.
    Probing {
        until: Instant,
    },
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Self {
        Self { policy, state: State::Closed, in_a_row: 0, recent: VecDeque::new() }
    }

    /// Admits a request, whose end must be told.
    ///
    /// # Errors
    /// Returns how long to wait where it is not admitted.
    pub fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        match self.state {
            State::Closed => Ok(()),
            State::Open { until } | State::Probing { until } if now < until => Err(until - now),
            State::Open { .. } | State::Probing { .. } => {
                self.state = State::Probing { until: now + self.policy.open_for };
                Ok(())
            }
        }
    }

    /// Notes that an admitted request was answered.
    pub fn succeeded(&mut self, now: Instant) {
        self.in_a_row = 0;
        match self.state {
            State::Closed => self.remember(now, false),
            State::Probing { .. } => {
                self.state = State::Closed;
                self.recent.clear();
            }
            // Admitted before the breaker opened: too old to tell how things are now.
            State::Open { .. } => {}
        }
    }

    /// Notes that an admitted request failed; returns whether that opened the breaker.
    pub fn failed(&mut self, now: Instant) -> bool {
        let opens = match self.state {
            State::Closed => {
                self.in_a_row += 1;
                self.remember(now, true);
                self.in_a_row >= self.policy.failures_in_a_row || self.half_failed()
            }
            State::Probing { .. } => true,
            State::Open { .. } => false,
        };
        if opens {
            self.state = State::Open { until: now + self.policy.open_for };
            self.in_a_row = 0;
            self.recent.clear();
        }
        opens
    }

    /// `closed`, `open` or `half-open`.
    pub fn state(&self, now: Instant) -> &'static str {
        match self.state {
            State::Closed => "closed",
            State::Open { until } if now < until => "open",
            State::Open { .. } | State::Probing { .. } => "half-open",
        }
    }

    fn remember(&mut self, now: Instant, failed: bool) {
        self.recent.push_back((now, failed));
        while self.recent.len() > REMEMBERED
            || self.recent.front().is_some_and(|(at, _)| now.duration_since(*at) >= self.policy.within)
        {
            self.recent.pop_front();
        }
    }

    fn half_failed(&self) -> bool {
        let failed = self.recent.iter().filter(|(_, failed)| *failed).count();
        self.recent.len() >= self.policy.at_least && failed * 2 >= self.recent.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn breaker() -> (Breaker, Instant) {
        (Breaker::new(BreakerPolicy::default()), Instant::now())
    }

    fn open(breaker: &mut Breaker, now: Instant) {
        for _ in 0..5 {
            breaker.failed(now);
        }
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_a_success_between_starts_the_count_again() {
        let (mut breaker, now) = breaker();

        for _ in 0..4 {
            assert!(!breaker.failed(now));
        }
        breaker.succeeded(now);
        for _ in 0..4 {
            assert!(!breaker.failed(now));
        }
        assert_eq!(breaker.admit(now), Ok(()));
        assert!(breaker.failed(now));

        assert_eq!(breaker.admit(now), Err(5 * SECOND));
    }

    #[test]
    fn half_of_at_least_twenty_requests_within_ten_seconds_open_it() {
        let (mut breaker, now) = breaker();

        let opened = (0..20).any(|n| {
            breaker.succeeded(now);
            let opened = breaker.failed(now);
            assert!(!opened || n == 9, "opened after {n}");
            opened
        });

        assert!(opened);
    }

    #[test]
    fn failures_longer_ago_do_not_count() {
        let (mut breaker, start) = breaker();

        let opened = (0..100).any(|n| {
            let now = start + 2 * n * SECOND;
            breaker.succeeded(now);
            breaker.failed(now)
        });

        assert!(!opened, "no ten seconds hold more than 20 requests");
        assert_eq!(breaker.state(start), "closed");
    }

    #[test]
    fn one_request_probes_and_decides() {
        let (mut breaker, now) = breaker();
        open(&mut breaker, now);
        let later = now + 5 * SECOND;

        assert_eq!(breaker.admit(later), Ok(()));
        assert_eq!(breaker.admit(later), Err(5 * SECOND), "one at a time");
        assert!(breaker.failed(later));
        assert_eq!(breaker.admit(later), Err(5 * SECOND));
        assert_eq!(breaker.admit(later + 5 * SECOND), Ok(()));
        breaker.succeeded(later + 5 * SECOND);

        assert_eq!(breaker.admit(later + 5 * SECOND), Ok(()));
        assert_eq!(breaker.state(later + 5 * SECOND), "closed");
    }

    #[test]
    fn requests_admitted_before_it_opened_change_nothing() {
        let (mut breaker, now) = breaker();
        open(&mut breaker, now);

        breaker.succeeded(now);
        assert!(!breaker.failed(now + SECOND));

        assert_eq!(breaker.admit(now + SECOND), Err(4 * SECOND));
    }
}
