//! Durations and sizes as people write them: `500ms`, `64 KiB`.

use std::time::Duration;

const DURATIONS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];
const SIZES: [(&str, u64); 4] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];

/// Reads a whole number with its unit: `ms`, `s`, `m` or `h`.
pub(super) fn parse_duration(raw: &str) -> Option<Duration> {
    parse(raw, &DURATIONS).map(Duration::from_millis)
}

/// Reads a whole number with its unit: `B`, `KiB`, `MiB` or `GiB`.
pub(super) fn parse_size(raw: &str) -> Option<u64> {
    parse(raw, &SIZES)
}

/// Writes what [`parse_duration`] reads, in the largest unit that needs no fraction.
pub(super) fn show_duration(duration: Duration) -> String {
    show(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX), &DURATIONS, "")
}

/// Writes what [`parse_size`] reads, in the largest unit that needs no fraction.
pub(super) fn show_size(bytes: u64) -> String {
    show(bytes, &SIZES, " ")
}

fn parse(raw: &str, units: &[(&str, u64)]) -> Option<u64> {
    let end = raw.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = raw.split_at(end);
    let (_, factor) = units.iter().find(|(name, _)| *name == unit.trim_start())?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

fn show(value: u64, units: &[(&str, u64)], gap: &str) -> String {
    let fits = |(_, factor): &&(&str, u64)| value >= *factor && value.is_multiple_of(*factor);
    let (name, factor) = units.iter().find(fits).or(units.last()).unwrap_or(&("", 1));
    format!("{}{gap}{name}", value / factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_are_read_as_they_are_written() {
        for (raw, millis) in
            [("0ms", 0), ("500ms", 500), ("5s", 5000), ("90 s", 90_000), ("1m", 60_000), ("24h", 86_400_000)]
        {
            assert_eq!(parse_duration(raw), Some(Duration::from_millis(millis)), "{raw}");
        }
        for (raw, bytes) in [("17 B", 17), ("64 KiB", 65_536), ("1MiB", 1_048_576), ("2 GiB", 2_147_483_648)]
        {
            assert_eq!(parse_size(raw), Some(bytes), "{raw}");
        }
        for raw in [
            "",
            "5",
            "s",
            "5 d",
            "-5s",
            "1.5s",
            "5S",
            "5ss",
            "s5",
            "+5s",
            "99999999999999999999s",
            "18446744073709551615h",
        ] {
            assert_eq!(parse_duration(raw), None, "{raw}");
        }
        for raw in ["", "64", "64KB", "64 kib", "KiB", "18446744073709551615 GiB"] {
            assert_eq!(parse_size(raw), None, "{raw}");
        }
    }

    #[test]
    fn they_are_shown_in_the_largest_unit_that_fits() {
        for (millis, shown) in
            [(0, "0ms"), (999, "999ms"), (1500, "1500ms"), (5000, "5s"), (120_000, "2m"), (3_600_000, "1h")]
        {
            assert_eq!(show_duration(Duration::from_millis(millis)), shown);
            assert_eq!(parse_duration(shown), Some(Duration::from_millis(millis)));
        }
        for (bytes, shown) in [(0, "0 B"), (1023, "1023 B"), (65_536, "64 KiB"), (1 << 20, "1 MiB")] {
            assert_eq!(show_size(bytes), shown);
            assert_eq!(parse_size(shown), Some(bytes));
        }
    }
}
