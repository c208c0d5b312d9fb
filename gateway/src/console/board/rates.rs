use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

/// A count that was seen longer ago says nothing of how fast it grows now.
const OLD: Duration = Duration::from_secs(5);

/// Makes rates of counts, each by its name. The time comes from the caller.
#[derive(Debug, Default)]
pub struct Rates(HashMap<String, (u64, Instant)>);

impl Rates {
    /// How fast the count grew since it was seen last, in a second, to a tenth; 0 where it is new.
    pub fn of(&mut self, name: String, count: u64, now: Instant) -> f64 {
        let Some((before, at)) = self.0.insert(name, (count, now)) else {
            return 0.0;
        };
        let seconds = now.saturating_duration_since(at).as_secs_f64();
        if seconds == 0.0 || seconds > OLD.as_secs_f64() {
            return 0.0;
        }
        // Whatever counts has begun anew where it counts less than before.
        let grown = count.checked_sub(before).unwrap_or(count);
        (grown as f64 / seconds * 10.0).round() / 10.0
    }

    /// Forgets what is no longer counted.
    pub fn tidy(&mut self, now: Instant) {
        self.0.retain(|_, (_, at)| now.saturating_duration_since(*at) <= OLD);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_what_a_count_grew_in_a_second() {
        let (mut rates, start) = (Rates::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        let mut rate = |count, ms| rates.of("sent".to_owned(), count, at(ms));

        assert_eq!(rate(100, 0), 0.0, "nobody knows since when");
        assert_eq!(rate(150, 500), 100.0);
        assert_eq!(rate(150, 1000), 0.0);
        assert_eq!(rate(7, 1500), 14.0, "it began anew");
        assert_eq!(rate(1000, 60_000), 0.0, "nobody looked for a minute");
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        rates.of("gone".to_owned(), 1, now);

        rates.tidy(now + 2 * OLD);

        assert!(rates.0.is_empty());
    }
}
