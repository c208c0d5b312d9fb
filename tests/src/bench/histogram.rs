/// Counts times by their size, to one part in 128: from a nanosecond to centuries in 60 KiB, with nothing lost in between.
///
/// Each doubling of the time is cut into 128 equal parts, so the error of a percentile is below 0.8 %.
#[derive(Clone)]
pub(super) struct Histogram {
    counts: Vec<u64>,
    all: u64,
    largest: u64,
}

const PART_BITS: u32 = 7;
const PARTS: u64 = 1 << PART_BITS;

impl Histogram {
    /// Holds nothing yet.
    pub fn new() -> Self {
        Self { counts: vec![0; index(u64::MAX) + 1], all: 0, largest: 0 }
    }

    /// Counts one time.
    pub fn record(&mut self, nanos: u64) {
        self.counts[index(nanos)] += 1;
        self.all += 1;
        self.largest = self.largest.max(nanos);
    }

    /// How many times were counted.
    pub fn len(&self) -> u64 {
        self.all
    }

    /// The time that `share` of all were not longer than, such as 0.99; 0 where nothing was counted.
    pub fn percentile(&self, share: f64) -> u64 {
        let rank = ((self.all as f64 * share).ceil() as u64).clamp(1, self.all.max(1));
        let mut seen = 0;
        for (index, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                return upper_bound(index).min(self.largest);
            }
        }
        0
    }

    /// The longest time.
    pub fn largest(&self) -> u64 {
        self.largest
    }
}

/// Below twice [`PARTS`] each number has its own place; above, the leading bits decide.
fn index(nanos: u64) -> usize {
    let bits = u64::BITS - nanos.leading_zeros();
    let shift = bits.saturating_sub(PART_BITS + 1);
    (u64::from(shift) * PARTS + (nanos >> shift)) as usize
}

fn upper_bound(index: usize) -> u64 {
    let index = index as u64;
    if index < 2 * PARTS {
        return index;
    }
    let shift = index / PARTS - 1;
    let leading = index - shift * PARTS;
    (leading << shift) | ((1 << shift) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_place_and_its_error_is_below_one_percent() {
        for bits in 0..64 {
            for nanos in [1 << bits, (1 << bits) + 1, (1_u64 << bits).wrapping_mul(3) / 2, (1 << bits) - 1] {
                let mut histogram = Histogram::new();
                histogram.record(nanos);
                histogram.record(u64::MAX);

                let found = histogram.percentile(0.5);
                assert!(found >= nanos, "{found} for {nanos}");
                assert!((found - nanos) as f64 <= nanos as f64 / 128.0, "{found} for {nanos}");
            }
        }
    }

    #[test]
    fn percentiles_of_a_hundred_thousand_different_times() {
        let mut histogram = Histogram::new();
        (1..=100_000).for_each(|micros| histogram.record(micros * 1000));

        for (share, micros) in [(0.5, 50_000.0), (0.99, 99_000.0), (0.999, 99_900.0)] {
            let found = histogram.percentile(share) as f64 / 1000.0;
            assert!((found / micros - 1.0).abs() < 0.01, "{found} for {micros}");
        }
        assert_eq!(histogram.percentile(1.0), 100_000_000);
        assert_eq!((histogram.len(), histogram.largest()), (100_000, 100_000_000));
    }

    #[test]
    fn nothing_counted_is_no_time() {
        assert_eq!(Histogram::new().percentile(0.99), 0);
    }
}
