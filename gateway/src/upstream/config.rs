//! Copies of the settings this room needs, until `crate::settings` is there.

use std::time::Duration;

/// One service behind the gateway.
#[derive(Clone, Debug, PartialEq)]
pub struct UpstreamSettings {
    /// Its name, by which routes find it.
    pub name: String,
    /// Where it listens.
    pub urls: Vec<UpstreamUrl>,
    /// How many requests may be on their way to it at once.
    pub in_flight: usize,
    /// The path that says how it is.
    pub health_path: String,
    /// The pause between two questions.
    pub health_every: Duration,
    /// The pause between two resolutions of a name.
    pub resolve_every: Duration,
    /// When an endpoint is left alone.
    pub breaker: BreakerSettings,
    /// How many retries there may be for one request, such as 0.1.
    pub retry_budget: f64,
}

/// `http://host[:port][/path]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpstreamUrl {
    /// The name or the address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// What every path there starts with; empty, or starts with a slash and does not end with one.
    pub base_path: String,
    /// Host and port as `Host` carries them.
    pub authority: String,
}

/// When an endpoint is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerSettings {
    /// So many failures one after the other open the breaker.
    pub failures_in_a_row: u32,
    /// So does this part of the requests within the window,
    pub failure_ratio: f64,
    /// where there were at least so many.
    pub least_requests: u32,
    /// How far back requests count.
    pub window: Duration,
    /// How long it stays open before one request probes.
    pub probe_after: Duration,
    /// How long an endpoint that came back takes until it has its full share again.
    pub slow_return: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures_in_a_row: 5,
            failure_ratio: 0.5,
            least_requests: 20,
            window: Duration::from_secs(10),
            probe_after: Duration::from_secs(5),
            slow_return: Duration::from_secs(10),
        }
    }
}
