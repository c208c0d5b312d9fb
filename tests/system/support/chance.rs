use std::env;

use fastrand::Rng;
use warren::note;

/// Random numbers for a test, by a seed that is printed. `WARREN_SEED` sets it, to see a failure again.
pub fn seeded(story: &str) -> Rng {
    let seed =
        env::var("WARREN_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or_else(|| fastrand::u64(..));
    note!("{story}: WARREN_SEED={seed}");
    Rng::with_seed(seed)
}
