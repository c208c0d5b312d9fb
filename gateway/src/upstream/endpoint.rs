use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use serde::Serialize;

use super::{
    breaker::{Breaker, Gate},
    incidents::Incidents,
};
use crate::settings::{BreakerSettings, UpstreamUrl};

/// The share of an endpoint that just came back, in percent of its full one.
const FIRST_SHARE: u64 = 10;

/// One address at which a service listens. It lives as long as its URL is in the settings and its name leads to
/// this address; one that comes back after that is another endpoint.
#[derive(Debug)]
pub struct Endpoint {
    id: EndpointId,
    url: UpstreamUrl,
    address: SocketAddr,
    born: Instant,
    /// Exchanges that began.
    asked: AtomicU64,
    /// Exchanges that ended; what is between the two is in flight.
    ended: AtomicU64,
    /// What is read of the breaker without its lock.
    gate: AtomicU64,
    breaker: Mutex<Breaker>,
    /// What is read of the health without its lock.
    unready: AtomicBool,
    health: Mutex<Health>,
    incidents: Incidents,
}

/// Names one endpoint in its process, for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u64);

/// What was heard last of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum Health {
    /// Nobody has asked yet.
    Unknown,
    /// All is well there.
    Ready,
    /// It serves, but something is missing there; says what.
    Degraded(String),
    /// It is not ready or does not answer; says why.
    Unready(String),
}

impl Health {
    /// Whether it serves.
    pub fn is_well(&self) -> bool {
        matches!(self, Self::Ready | Self::Degraded(_))
    }

    /// What is missing or wrong there.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Degraded(why) | Self::Unready(why) => Some(why),
            Self::Unknown | Self::Ready => None,
        }
    }
}

/// In one word, as `/actors` tells it.
impl fmt::Display for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown",
            Self::Ready => "ready",
            Self::Degraded(_) => "degraded",
            Self::Unready(_) => "unready",
        })
    }
}

impl Endpoint {
    pub(super) fn new(
        url: UpstreamUrl,
        address: SocketAddr,
        breaker: BreakerSettings,
        incidents: Incidents,
        now: Instant,
    ) -> Self {
        static LAST_ID: AtomicU64 = AtomicU64::new(0);
        let endpoint = Self {
            id: EndpointId(LAST_ID.fetch_add(1, Ordering::Relaxed) + 1),
            url,
            address,
            born: now,
            asked: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            gate: AtomicU64::new(0),
            breaker: Mutex::new(Breaker::new(breaker, now)),
            unready: AtomicBool::new(false),
            health: Mutex::new(Health::Unknown),
            incidents,
        };
        endpoint.show_gate(Gate::Closed { returned: None });
        endpoint
    }

    /// Its name in this process.
    pub fn id(&self) -> EndpointId {
        self.id
    }

    /// Where to connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Host and port as `Host` carries them.
    pub fn authority(&self) -> &str {
        self.url.authority()
    }

    /// What every path there starts with; empty, or starts with a slash and does not end with one.
    pub fn base_path(&self) -> &str {
        self.url.base_path()
    }

    /// How many requests are on their way to it.
    pub fn in_flight(&self) -> u64 {
        // An exchange that begins and ends between the two looks must not make fewer than none.
        let ended = self.ended.load(Ordering::Relaxed);
        self.asked().saturating_sub(ended)
    }

    /// How many requests it has been sent so far.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::Relaxed)
    }

    /// What was heard last.
    pub fn health(&self) -> Health {
        lock(&self.health).clone()
    }

    pub(super) fn incidents(&self) -> &Incidents {
        &self.incidents
    }

    pub(super) fn url(&self) -> &UpstreamUrl {
        &self.url
    }

    pub(super) fn begin(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    /// Writes down what was heard; returns what had been heard before.
    pub(super) fn heard(&self, health: Health) -> Health {
        self.unready.store(matches!(health, Health::Unready(_)), Ordering::Relaxed);
        std::mem::replace(&mut *lock(&self.health), health)
    }

    pub(super) fn is_unready(&self) -> bool {
        self.unready.load(Ordering::Relaxed)
    }

    /// Changes the breaker, and shows everybody its gate.
    pub(super) fn breaker<T>(&self, change: impl FnOnce(&mut Breaker) -> T) -> T {
        let mut breaker = lock(&self.breaker);
        let before = breaker.gate();
        let changed = change(&mut breaker);
        let after = breaker.gate();
        if after != before {
            self.show_gate(after);
        }
        changed
    }

    /// Whether, and from when, requests may pass; takes no lock.
    pub(super) fn gate(&self) -> Gate {
        let shown = self.gate.load(Ordering::Relaxed);
        let at = self.born + Duration::from_nanos(shown >> 2);
        match shown & 0b11 {
            CLOSED => Gate::Closed { returned: (shown != CLOSED).then_some(at) },
            OPEN => Gate::Open { until: at },
            _ => Gate::Probing,
        }
    }

    /// Its share in percent of its full one: less while it has only just come back.
    pub(super) fn weight(&self, slow_return: Duration, now: Instant) -> u64 {
        match self.gate() {
            Gate::Closed { returned } => weight(returned, slow_return, now),
            Gate::Open { .. } | Gate::Probing => 0,
        }
    }

    fn show_gate(&self, gate: Gate) {
        // 62 bits of nanoseconds are 146 years, which has to do for ever.
        let nanos = |at: Instant| u64::try_from(at.saturating_duration_since(self.born).as_nanos());
        let at = |at| nanos(at).unwrap_or(u64::MAX).min(u64::MAX >> 2) << 2;
        let shown = match gate {
            Gate::Closed { returned: None } => CLOSED,
            // At least one nanosecond, to be told from never.
            Gate::Closed { returned: Some(returned) } => at(returned).max(1 << 2) | CLOSED,
            Gate::Open { until } => at(until) | OPEN,
            Gate::Probing => PROBING,
        };
        self.gate.store(shown, Ordering::Relaxed);
    }
}

const CLOSED: u64 = 0;
const OPEN: u64 = 1;
const PROBING: u64 = 2;

/// The share of a usable endpoint in percent: rises in a line from [`FIRST_SHARE`] to 100 once it `returned`.
pub(super) fn weight(returned: Option<Instant>, slow_return: Duration, now: Instant) -> u64 {
    let passed = returned.map_or(Duration::MAX, |returned| now.saturating_duration_since(returned));
    if passed >= slow_return {
        return 100;
    }
    let rise = passed.as_nanos() * u128::from(100 - FIRST_SHARE) / slow_return.as_nanos();
    FIRST_SHARE + rise as u64
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock is held leaves whole values behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use common::timeline::Timeline;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_gate_that_is_shown_is_that_of_the_breaker() {
        let now = Instant::now();
        let url = "http://127.0.0.1:3001".parse().expect("a URL");
        let incidents = Incidents::new(Timeline::open("gateway", None), String::new());
        let endpoint =
            Endpoint::new(url, ([127, 0, 0, 1], 3001).into(), BreakerSettings::default(), incidents, now);
        assert_eq!(endpoint.gate(), Gate::Closed { returned: None });

        for gate in [
            Gate::Open { until: now + Duration::new(5, 123_456_789) },
            Gate::Probing,
            Gate::Closed { returned: Some(now + 3600 * SECOND) },
            Gate::Closed { returned: None },
        ] {
            endpoint.show_gate(gate);

            assert_eq!(endpoint.gate(), gate);
        }
        endpoint.show_gate(Gate::Closed { returned: Some(now) });
        assert!(matches!(endpoint.gate(), Gate::Closed { returned: Some(_) }), "told from never");
    }

    #[test]
    fn the_share_of_an_endpoint_that_came_back_rises_in_a_line() {
        let now = Instant::now();
        let after = |passed| weight(Some(now), 10 * SECOND, now + passed);

        assert_eq!(after(Duration::ZERO), 10);
        assert_eq!(after(5 * SECOND), 55);
        assert_eq!(after(10 * SECOND), 100);
        assert_eq!(weight(None, 10 * SECOND, now), 100, "never away");
        assert_eq!(weight(Some(now), Duration::ZERO, now), 100, "no slow return");
    }
}
