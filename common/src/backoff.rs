//! How long to wait before the next attempt: exponential, with full jitter, bounded.
//!
//! Full jitter (a uniform draw between nothing and the exponential bound) spreads the attempts of many
//! clients best; see "Exponential Backoff And Jitter", AWS Architecture Blog, 2015. Pure: chance comes
//! from the caller.

use std::time::Duration;

/// Bounds of the waits between attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
}

impl Backoff {
    /// The first wait is at most `min`, every later one at most twice the one before, none longer than `max`.
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max }
    }

    /// The longest wait that [`delay`](Self::delay) returns.
    pub const fn max(&self) -> Duration {
        self.max
    }

    /// Returns the wait before attempt number `attempt` (counted from 0), with `jitter` drawn from 0.0 to 1.0.
    pub fn delay(&self, attempt: u32, jitter: f64) -> Duration {
        let bound = self.min.saturating_mul(2_u32.saturating_pow(attempt.min(31))).min(self.max);
        bound.mul_f64(jitter.clamp(0.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));

    #[test]
    fn the_bound_doubles_until_the_maximum() {
        let bounds: Vec<u128> = (0..7).map(|n| BACKOFF.delay(n, 1.0).as_millis()).collect();

        assert_eq!(bounds, [100, 200, 400, 800, 1600, 2000, 2000]);
    }

    #[test]
    fn jitter_spreads_from_nothing_to_the_bound() {
        assert_eq!(BACKOFF.delay(3, 0.0), Duration::ZERO);
        assert_eq!(BACKOFF.delay(3, 0.5), Duration::from_millis(400));
        assert_eq!(BACKOFF.delay(3, 7.0), Duration::from_millis(800));
    }

    #[test]
    fn any_number_of_attempts_stays_within_the_maximum() {
        assert_eq!(BACKOFF.delay(u32::MAX, 1.0), Duration::from_secs(2));
    }
}
