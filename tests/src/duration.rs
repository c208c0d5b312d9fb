//! A duration as a person writes it: `200ms`, `5s`, `1m` or `1h`.

use std::time::Duration;

/// Reads one, for clap.
///
/// # Errors
///
/// It is written otherwise, or longer than a year.
pub fn parse(text: &str) -> Result<Duration, String> {
    let wrong = || format!("is no duration: write it like 200ms, 5s, 1m or 1h, not {text:?}");
    let digits = text.find(|character: char| !character.is_ascii_digit()).ok_or_else(wrong)?;
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err(wrong()),
    };
    let number: u64 = number.parse().map_err(|_| wrong())?;
    let ms = number.checked_mul(unit_ms).filter(|ms| *ms <= 366 * 24 * 3_600_000);
    ms.map(Duration::from_millis).ok_or_else(|| "is longer than a year".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_a_number_and_a_unit() {
        assert_eq!(parse("200ms"), Ok(Duration::from_millis(200)));
        assert_eq!(parse("5s"), Ok(Duration::from_secs(5)));
        assert_eq!(parse("2m"), Ok(Duration::from_secs(120)));
        assert_eq!(parse("1h"), Ok(Duration::from_secs(3600)));
        for text in ["", "5", "s", "-5s", "1.5s", "5 s", "5sec", "é", "99999999999999999999s"] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("9999999999h").is_err());
    }
}
