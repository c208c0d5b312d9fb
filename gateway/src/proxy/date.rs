use std::{cell::RefCell, time::SystemTime};

use jiff::{Timestamp, fmt::rfc2822::DateTimePrinter};

/// The time of day as a `Date` says it (RFC 9110 section 5.6.7), written anew once a second.
#[derive(Debug, Default)]
pub struct Clock(RefCell<(i64, Vec<u8>)>);

impl Clock {
    /// Appends `date: …` for `now`.
    pub fn with<T>(&self, now: SystemTime, look: impl FnOnce(&[u8]) -> T) -> T {
        let second = now
            .duration_since(SystemTime::UNIX_EPOCH)
            .ok()
            .and_then(|since| i64::try_from(since.as_secs()).ok())
            .unwrap_or_default();
        let (written, text) = &mut *self.0.borrow_mut();
        if *written != second || text.is_empty() {
            let timestamp = Timestamp::from_second(second).unwrap_or_default();
            text.clear();
            // Fails only for years beyond 9999.
            let _ = DateTimePrinter::new().print_timestamp_rfc9110(&timestamp, &mut *text);
            *written = second;
        }
        look(text)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn it_is_written_as_the_standard_says() {
        let clock = Clock::default();
        for (second, expected) in
            [(784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"), (0, "Thu, 01 Jan 1970 00:00:00 GMT")]
        {
            let now = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            assert_eq!(clock.with(now, |text| String::from_utf8_lossy(text).into_owned()), expected);
        }
    }
}
