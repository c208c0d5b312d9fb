use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// How many failures within which time are too many. Pure: the time comes from the caller.
#[derive(Clone, Debug)]
pub struct RestartWindow {
    most: usize,
    within: Duration,
    failures: VecDeque<Instant>,
}

impl RestartWindow {
    /// More than `most` failures within `within` overrun the window.
    pub fn new(most: usize, within: Duration) -> Self {
        Self { most, within, failures: VecDeque::with_capacity(most + 1) }
    }

    /// Notes a failure and tells whether it overran the window.
    pub fn overrun_by_failure_at(&mut self, now: Instant) -> bool {
        let within = self.within;
        self.failures.retain(|&at| now.saturating_duration_since(at) < within);
        self.failures.push_back(now);
        self.failures.len() > self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_spread_over_more_than_the_window_never_overrun_it() {
        let start = Instant::now();
        let mut window = RestartWindow::new(3, Duration::from_secs(60));

        let overrun = (0..100).any(|n| window.overrun_by_failure_at(start + Duration::from_secs(20 * n)));

        assert!(!overrun);
    }

    #[test]
    fn one_failure_more_than_allowed_overruns_the_window() {
        let start = Instant::now();
        let mut window = RestartWindow::new(3, Duration::from_secs(60));

        let overruns: Vec<bool> =
            (0..4).map(|n| window.overrun_by_failure_at(start + Duration::from_secs(n))).collect();

        assert_eq!(overruns, [false, false, false, true]);
    }
}
