use std::sync::OnceLock;

/// Which traces are recorded (`OTEL_TRACES_SAMPLER`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampler {
    /// Whether the caller's decision stands where there is one.
    pub by_parent: bool,
    /// Which part of all others is recorded, from 0 to 1.
    pub ratio: f64,
}

impl Sampler {
    /// Records what its caller records, and all that has no caller.
    pub const DEFAULT: Self = Self { by_parent: true, ratio: 1.0 };

    /// Whether a trace is recorded. Every process that is told the same ratio decides the same of a trace.
    pub fn takes(&self, trace_id: u128, parent: Option<bool>) -> bool {
        match parent {
            Some(recorded) if self.by_parent => recorded,
            _ if self.ratio >= 1.0 => true,
            // The lower half is random, as OpenTelemetry's own samplers have it.
            _ => (trace_id as u64 >> 1) < (self.ratio * (1_u64 << 63) as f64) as u64,
        }
    }
}

static CHOSEN: OnceLock<Sampler> = OnceLock::new();

/// Chooses the process's sampler, once.
pub(in crate::telemetry) fn sample_by(sampler: Sampler) {
    // The first one holds.
    let _ = CHOSEN.set(sampler);
}

/// The process's sampler.
pub(super) fn chosen() -> Sampler {
    CHOSEN.get().copied().unwrap_or(Sampler::DEFAULT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_decision_stands_unless_it_is_not_asked_for() {
        let (heeding, deaf) = (Sampler::DEFAULT, Sampler { by_parent: false, ratio: 1.0 });

        assert!(!heeding.takes(7, Some(false)));
        assert!(deaf.takes(7, Some(false)));
        assert!(heeding.takes(7, None));
        assert!(!Sampler { by_parent: false, ratio: 0.0 }.takes(7, Some(true)));
    }

    #[test]
    fn a_ratio_takes_that_part_of_the_traces_and_everybody_takes_the_same() {
        let tenth = Sampler { by_parent: true, ratio: 0.1 };
        let ids: Vec<u128> =
            (0..10_000).map(|number: u128| number * 0x9e37_79b9_7f4a_7c15_1234_5678).collect();

        let taken = ids.iter().filter(|id| tenth.takes(**id, None)).count();

        assert!((800..1200).contains(&taken), "{taken} of 10000");
        assert!(ids.iter().all(|id| !Sampler { ratio: 0.0, ..tenth }.takes(*id, None)));
    }
}
