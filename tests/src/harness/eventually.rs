//! Waiting for what must come true, instead of sleeping and hoping.

use std::fmt::{Debug, Display};
use std::time::{Duration, Instant};

use tokio::time::sleep;

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Tries until the attempt succeeds, and returns what it gives.
///
/// The attempt runs at least once, and once more when the deadline is over.
///
/// # Panics
///
/// With `what` and the last error, when the attempt still fails at the deadline.
pub async fn eventually<T, E: Display>(
    deadline: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Result<T, E>,
) -> T {
    let begun = Instant::now();
    let mut pause = FIRST_PAUSE;

    loop {
        let last = begun.elapsed() >= deadline;
        match attempt().await {
            Ok(value) => return value,
            Err(error) if last => panic!("not within {deadline:?}: {what}: {error}"),
            Err(_) => sleep(pause.min(deadline.saturating_sub(begun.elapsed()))).await,
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Tries until the value is the expected one.
///
/// # Panics
///
/// With `what` and the last value, when it is still another one at the deadline.
pub async fn eventually_equal<T: PartialEq + Debug>(
    deadline: Duration,
    what: &str,
    expected: T,
    mut value: impl AsyncFnMut() -> T,
) {
    eventually(deadline, what, async || {
        let value = value().await;
        if value == expected { Ok(()) } else { Err(format!("{value:?} instead of {expected:?}")) }
    })
    .await
}
