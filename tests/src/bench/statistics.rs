//! What several rounds say together.

/// The middle one, or the mean of the two in the middle; `None` of nothing. Robust: one round that something disturbed
/// does not move it.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

/// The ratios of two contestants, each of one round, in which both met the same machine.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Ratio {
    /// The middle one.
    pub median: f64,
    /// The smallest of any round.
    pub least: f64,
    /// The largest of any round.
    pub most: f64,
}

impl Ratio {
    /// Compares round by round; rounds in which one of the two has no figure are left out.
    pub fn of(own: &[Option<f64>], other: &[Option<f64>]) -> Option<Self> {
        let rounds = own.iter().zip(other).filter_map(|(own, other)| Some((*own)? / (*other)?));
        let ratios: Vec<f64> = rounds.filter(|ratio| ratio.is_finite()).collect();
        let least = ratios.iter().copied().min_by(f64::total_cmp)?;
        let most = ratios.iter().copied().max_by(f64::total_cmp)?;
        Some(Self { median: median(ratios)?, least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_odd_even_and_no_numbers() {
        assert_eq!(median([3.0, 1.0, 100.0]), Some(3.0));
        assert_eq!(median([4.0, 1.0, 2.0, 100.0]), Some(3.0));
        assert_eq!(median([]), None);
    }

    #[test]
    fn ratios_are_taken_within_a_round_and_a_slow_round_slows_both() {
        let own = [Some(10.0), Some(40.0), Some(12.0)];
        let other = [Some(20.0), Some(80.0), Some(20.0)];

        assert_eq!(Ratio::of(&own, &other), Some(Ratio { median: 0.5, least: 0.5, most: 0.6 }));
    }

    #[test]
    fn a_round_without_a_figure_is_left_out() {
        assert_eq!(Ratio::of(&[Some(1.0), None], &[None, Some(2.0)]), None);
        assert_eq!(
            Ratio::of(&[Some(1.0), Some(1.0)], &[Some(0.0), Some(2.0)]).map(|ratio| ratio.median),
            Some(0.5)
        );
    }
}
