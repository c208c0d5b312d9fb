use std::time::Duration;

/// How much one client may ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests per window, evenly spread.
    pub requests: u32,
    /// Whole seconds.
    pub window: Duration,
    /// How many may come at once after a pause.
    pub burst: u32,
}

impl Default for Rate {
    fn default() -> Self {
        Self { requests: 100, window: Duration::from_secs(1), burst: 200 }
    }
}
