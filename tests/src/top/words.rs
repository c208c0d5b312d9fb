//! Times and numbers as a person reads them.

use std::time::Duration;

use jiff::Timestamp;

/// From one moment to another; nothing where the clocks disagree about which is first.
pub(super) fn between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or_default()
}

/// In the unit that fits, such as `0.4 s` or `3 min`.
pub(super) fn lasted(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{:.1} s", time.as_secs_f64()),
        seconds @ 60..3_600 => format!("{} min {} s", seconds / 60, seconds % 60),
        seconds @ 3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds / 60 % 60),
        seconds => format!("{} d {} h", seconds / 86_400, seconds / 3_600 % 24),
    }
}

/// Milliseconds, likewise.
pub(super) fn lasted_ms(ms: u64) -> String {
    lasted(Duration::from_millis(ms))
}

/// The time of the day, in UTC as in the logs.
pub(super) fn clock(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// With the day.
pub(super) fn date(at: Timestamp) -> String {
    at.strftime("%m-%d %H:%M:%S").to_string()
}

/// So many a second.
pub(super) fn rate(rate: f64) -> String {
    if rate < 9.95 { format!("{rate:.1}/s") } else { format!("{rate:.0}/s") }
}

/// `1 event`, `2 events`.
pub(super) fn events(count: u64) -> String {
    if count == 1 { "1 event".into() } else { format!("{count} events") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_in_the_unit_that_fits() {
        for (ms, text) in [
            (0, "0.0 s"),
            (12_440, "12.4 s"),
            (59_999, "60.0 s"),
            (61_000, "1 min 1 s"),
            (7_260_000, "2 h 1 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(lasted_ms(ms), text);
        }
    }

    #[test]
    fn a_moment_that_is_yet_to_come_is_no_time_ago() {
        let (early, late) =
            (Timestamp::from_second(10).expect("a time"), Timestamp::from_second(12).expect("a time"));

        assert_eq!(between(early, late), Duration::from_secs(2));
        assert_eq!(between(late, early), Duration::ZERO);
    }
}
