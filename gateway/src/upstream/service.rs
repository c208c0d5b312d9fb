use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use common::timeline::Timeline;
use tokio::sync::{Notify, futures::Notified};

use super::{
    Choice, Endpoint, EndpointFailure, EndpointId, Health, Unavailable, breaker::Admission,
    budget::RetryBudget, metrics::UpstreamMetrics, pick::Round, places::Site,
};
use crate::settings::UpstreamSettings;

/// One service, at all the places where it listens. All workers share it.
#[derive(Debug)]
pub struct Upstream {
    pub(super) name: String,
    pub(super) settings: ArcSwap<UpstreamSettings>,
    pub(super) endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Where each URL led to last; the endpoints are made of these.
    pub(super) sites: Mutex<Vec<Site>>,
    turns: AtomicU64,
    pub(super) budget: RetryBudget,
    pub(super) metrics: UpstreamMetrics,
    pub(super) timeline: Timeline,
    connect_failed: Notify,
    pub(super) endpoints_changed: Notify,
}

/// One request's place among those that are on their way to an upstream; free again when dropped.
#[derive(Debug)]
pub struct Admitted(Arc<Upstream>);

impl Drop for Admitted {
    fn drop(&mut self) {
        self.0.metrics.in_flight.dec();
    }
}

impl Upstream {
    pub(super) fn new(
        settings: &UpstreamSettings,
        metrics: UpstreamMetrics,
        timeline: Timeline,
        now: Instant,
    ) -> Self {
        let upstream = Self {
            name: settings.name.clone(),
            settings: ArcSwap::from_pointee(settings.clone()),
            endpoints: ArcSwap::default(),
            sites: Mutex::default(),
            turns: AtomicU64::new(0),
            budget: RetryBudget::new(settings.retry_budget, now),
            metrics,
            timeline,
            connect_failed: Notify::new(),
            endpoints_changed: Notify::new(),
        };
        upstream.configure(settings, now);
        upstream
    }

    /// Its name, by which routes find it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Lets a request in, unless too many are on their way already. Earns a part of a retry.
    pub fn admit(self: &Arc<Self>) -> Option<Admitted> {
        let most = i64::try_from(self.settings.load().in_flight).unwrap_or(i64::MAX);
        if self.metrics.in_flight.inc() >= most {
            self.metrics.in_flight.dec();
            return None;
        }
        self.budget.earn();
        Some(Admitted(self.clone()))
    }

    /// Chooses the endpoint with the least in flight among those that work; `avoid` has just failed this request
    /// and is taken only if there is no other.
    ///
    /// # Errors
    /// When no endpoint is known, or every one of them failed too often.
    pub fn choose(self: &Arc<Self>, avoid: Option<EndpointId>, now: Instant) -> Result<Choice, Unavailable> {
        let endpoints = self.endpoints.load();
        let slow_return = self.settings.load().breaker.slow_return;
        // A second try takes nobody's turn, or two endpoints of which one fails would give it every first try.
        let turn = match avoid {
            None => self.turns.fetch_add(1, Ordering::Relaxed),
            Some(_) => self.turns.load(Ordering::Relaxed),
        };
        let round = Round { avoid, turn, slow_return, now };
        loop {
            let (endpoint, probe) = round.pick(&endpoints)?;
            // Where another worker probes first, its gate says so, and the next round finds another endpoint.
            if !probe || endpoint.breaker(|breaker| breaker.probe(now)) {
                return Ok(Choice::new(self.clone(), endpoint.clone(), Admission { at: now, probe }));
            }
        }
    }

    /// Takes one retry out of the budget; returns whether there was one.
    pub fn take_retry(&self) -> bool {
        let taken = self.budget.take(Instant::now());
        match taken {
            true => self.metrics.retries_taken.inc(),
            false => self.metrics.retries_refused.inc(),
        };
        taken
    }

    /// How many requests are on their way to it.
    pub fn in_flight(&self) -> usize {
        usize::try_from(self.metrics.in_flight.get()).unwrap_or(0)
    }

    /// Every endpoint that is known now.
    pub fn endpoints(&self) -> Arc<Vec<Arc<Endpoint>>> {
        self.endpoints.load_full()
    }

    pub(super) fn settings(&self) -> Arc<UpstreamSettings> {
        self.settings.load_full()
    }

    /// Waits until a connection to one of its endpoints fails, from the call on.
    pub(super) fn connect_failed(&self) -> Notified<'_> {
        self.connect_failed.notified()
    }

    /// Waits until there are other endpoints than at the last call; for one waiting task.
    pub(super) async fn endpoints_changed(&self) {
        self.endpoints_changed.notified().await;
    }

    /// Goes on with what the health check heard of `endpoint` in an exchange that began at `began`.
    pub(super) fn heard(&self, endpoint: &Endpoint, health: Health, began: Instant, now: Instant) {
        let well = health.is_well();
        let before = endpoint.heard(health.clone());
        if before != health {
            let (name, address) = (&self.name, endpoint.address());
            let why = health.reason().map(|why| format!(" why={why:?}")).unwrap_or_default();
            log::info!("event=upstream_health upstream={name} endpoint={address} health={health}{why}");
        }
        match &health {
            Health::Unready(why) if before.is_well() => endpoint.incidents().went_away(why),
            _ if well => endpoint.incidents().came_back(),
            _ => {}
        }
        let was_away = matches!(before, Health::Unready(_));
        let back = match well {
            true => endpoint.breaker(|breaker| breaker.heard_well(began, was_away, now)),
            false => None,
        };
        match back {
            Some(away) => self.endpoint_back(endpoint, away),
            // Also where nothing changed: two workers that count at once may have left the older figures.
            None => self.count_endpoints(),
        }
    }

    pub(super) fn endpoint_failed(&self, endpoint: &Endpoint, why: EndpointFailure, ejected: bool) {
        self.metrics.failures[why.index()].inc();
        if why == EndpointFailure::Connect {
            self.connect_failed.notify_waiters();
        }
        if ejected {
            let (name, address) = (&self.name, endpoint.address());
            log::warn!("event=endpoint_ejected upstream={name} endpoint={address} why={:?}", why.to_string());
            endpoint.incidents().breaker_opened(&why.to_string());
            self.metrics.ejections.inc();
            self.count_endpoints();
        }
    }

    pub(super) fn endpoint_back(&self, endpoint: &Endpoint, away: Duration) {
        let (name, address) = (&self.name, endpoint.address());
        log::info!("event=endpoint_back upstream={name} endpoint={address} after_ms={}", away.as_millis());
        endpoint.incidents().breaker_closed();
        self.count_endpoints();
    }
}
