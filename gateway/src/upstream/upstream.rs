use std::{
    net::{IpAddr, SocketAddr},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use common::http::Condition;
use serde::Serialize;
use tokio::sync::{Notify, futures::Notified};

use super::{
    Choice, Endpoint, EndpointFailure, EndpointId, Health, Unavailable,
    breaker::{Admission, Gate},
    budget::RetryBudget,
    choice::Round,
    metrics::UpstreamMetrics,
};
use crate::settings::{UpstreamSettings, UpstreamUrl};

/// One service, at all the places where it listens. All workers share it.
#[derive(Debug)]
pub struct Upstream {
    name: String,
    settings: ArcSwap<UpstreamSettings>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    /// Where each URL led to last; the endpoints are made of these.
    sites: Mutex<Vec<Site>>,
    turns: AtomicU64,
    budget: RetryBudget,
    metrics: UpstreamMetrics,
    connect_failed: Notify,
    endpoints_changed: Notify,
}

#[derive(Debug)]
struct Site {
    url: UpstreamUrl,
    addresses: Vec<SocketAddr>,
    /// Why the name cannot be resolved.
    trouble: Option<String>,
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
    pub(super) fn new(settings: &UpstreamSettings, metrics: UpstreamMetrics, now: Instant) -> Self {
        let upstream = Self {
            name: settings.name.clone(),
            settings: ArcSwap::from_pointee(settings.clone()),
            endpoints: ArcSwap::default(),
            sites: Mutex::default(),
            turns: AtomicU64::new(0),
            budget: RetryBudget::new(settings.retry_budget, now),
            metrics,
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
        let turn = self.turns.fetch_add(1, Ordering::Relaxed);
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

    /// What the gateway's own readiness says of it: ready where at least one endpoint is, else what is missing.
    /// Never unready: the gateway serves what it can.
    pub fn condition(&self) -> Condition {
        let endpoints = self.endpoints.load();
        let mut missing: Vec<String> = Vec::new();
        for endpoint in endpoints.iter() {
            let ejected = !matches!(endpoint.gate(), Gate::Closed { .. });
            let reason = match endpoint.health() {
                Health::Ready if !ejected => return Condition::Ready,
                Health::Ready => "requests fail".to_owned(),
                Health::Unknown => "not asked yet".to_owned(),
                Health::Degraded(reason) | Health::Unready(reason) => reason,
            };
            missing.push(match endpoints.len() {
                1 => reason,
                _ => format!("{}: {reason}", endpoint.address()),
            });
        }
        missing.extend(lock(&self.sites).iter().filter_map(|site| site.trouble.clone()));
        if missing.is_empty() {
            missing.push("its address is not known yet".to_owned());
        }
        Condition::Degraded(missing.join(", "))
    }

    /// What is shown of it.
    pub fn observe(&self, now: Instant) -> UpstreamState {
        let settings = self.settings.load();
        let state = |endpoint: &Arc<Endpoint>| EndpointState {
            address: endpoint.address(),
            authority: endpoint.authority().to_owned(),
            health: endpoint.health(),
            breaker: match endpoint.gate() {
                Gate::Closed { .. } => "closed",
                Gate::Open { until } if now < until => "open",
                Gate::Open { .. } | Gate::Probing => "half-open",
            },
            in_flight: endpoint.in_flight(),
            weight: endpoint.weight(settings.breaker.slow_return, now),
        };
        UpstreamState {
            name: self.name.clone(),
            in_flight: self.in_flight(),
            endpoints: self.endpoints.load().iter().map(state).collect(),
            trouble: lock(&self.sites).iter().filter_map(|site| site.trouble.clone()).collect(),
        }
    }

    pub(super) fn settings(&self) -> Arc<UpstreamSettings> {
        self.settings.load_full()
    }

    /// Goes on with other settings; endpoints whose URL is still there stay as they are.
    pub(super) fn configure(&self, settings: &UpstreamSettings, now: Instant) {
        self.settings.store(Arc::new(settings.clone()));
        self.budget.configure(settings.retry_budget);
        let mut sites = lock(&self.sites);
        let known = std::mem::take(&mut *sites);
        for url in &settings.urls {
            let site = known.iter().find(|site| site.url == *url);
            sites.push(Site {
                url: url.clone(),
                addresses: match site {
                    Some(site) => site.addresses.clone(),
                    None => literal(url).into_iter().collect(),
                },
                trouble: site.and_then(|site| site.trouble.clone()),
            });
        }
        self.publish(&sites, now);
        for endpoint in self.endpoints.load().iter() {
            endpoint.breaker(|breaker| breaker.configure(settings.breaker.clone(), now));
        }
    }

    /// The URLs whose host is a name.
    pub(super) fn names(&self) -> Vec<UpstreamUrl> {
        self.settings.load().urls.iter().filter(|url| literal(url).is_none()).cloned().collect()
    }

    /// Whether an address of `url` is known.
    pub(super) fn is_resolved(&self, url: &UpstreamUrl) -> bool {
        lock(&self.sites).iter().any(|site| site.url == *url && site.trouble.is_none())
    }

    /// Goes on with the addresses to which `url` leads now; keeps those from before where it leads nowhere.
    pub(super) fn resolved(&self, url: &UpstreamUrl, found: Result<Vec<SocketAddr>, String>, now: Instant) {
        let mut sites = lock(&self.sites);
        let Some(site) = sites.iter_mut().find(|site| site.url == *url) else {
            // It is gone from the settings meanwhile.
            return;
        };
        match found {
            Ok(mut addresses) => {
                addresses.sort_unstable();
                addresses.dedup();
                site.addresses = addresses;
                if site.trouble.take().is_some() {
                    log::info!("event=name_resolved upstream={} host={}", self.name, url.host());
                }
            }
            Err(error) => {
                let trouble = Some(format!("cannot resolve {}: {error}", url.host()));
                if site.trouble != trouble {
                    log::warn!(
                        "event=name_not_resolved upstream={} host={} error={error:?}",
                        self.name,
                        url.host()
                    );
                    site.trouble = trouble;
                }
            }
        }
        self.publish(&sites, now);
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
            log::info!("event=upstream_health upstream={name} endpoint={address} health={health:?}");
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
            self.metrics.ejections.inc();
            self.count_endpoints();
        }
    }

    pub(super) fn endpoint_back(&self, endpoint: &Endpoint, away: Duration) {
        let (name, address) = (&self.name, endpoint.address());
        log::info!("event=endpoint_back upstream={name} endpoint={address} after_ms={}", away.as_millis());
        self.count_endpoints();
    }

    /// Makes the endpoints what `sites` say; those that were there before stay.
    fn publish(&self, sites: &[Site], now: Instant) {
        let old = self.endpoints.load_full();
        let settings = self.settings.load();
        let mut new: Vec<Arc<Endpoint>> = Vec::new();
        for site in sites {
            for &address in &site.addresses {
                let is_it =
                    |endpoint: &&Arc<Endpoint>| endpoint.address() == address && *endpoint.url() == site.url;
                // A URL that is there twice makes no second endpoint.
                if new.iter().any(|endpoint| is_it(&endpoint)) {
                    continue;
                }
                new.push(match old.iter().find(is_it) {
                    Some(endpoint) => endpoint.clone(),
                    None => Arc::new(Endpoint::new(site.url.clone(), address, settings.breaker.clone(), now)),
                });
            }
        }
        let (added, removed) = (missing_in(&old, &new), missing_in(&new, &old));
        if added.is_empty() && removed.is_empty() {
            return;
        }
        log::info!("event=endpoints_changed upstream={} added={added:?} removed={removed:?}", self.name);
        self.endpoints.store(Arc::new(new));
        self.count_endpoints();
        self.endpoints_changed.notify_one();
    }

    fn count_endpoints(&self) {
        let mut counts = [0; 5];
        for endpoint in self.endpoints.load().iter() {
            let state = match (endpoint.gate(), endpoint.health()) {
                (Gate::Open { .. } | Gate::Probing, _) => 4,
                (_, Health::Unknown) => 0,
                (_, Health::Ready) => 1,
                (_, Health::Degraded(_)) => 2,
                (_, Health::Unready(_)) => 3,
            };
            counts[state] += 1;
        }
        for (gauge, count) in self.metrics.endpoints.iter().zip(counts) {
            gauge.set(count);
        }
    }
}

/// The address, where the host is one and no name.
fn literal(url: &UpstreamUrl) -> Option<SocketAddr> {
    Some(SocketAddr::new(url.host().parse::<IpAddr>().ok()?, url.port()))
}

/// The addresses of those of `all` that are not among `others`.
fn missing_in(others: &[Arc<Endpoint>], all: &[Arc<Endpoint>]) -> Vec<SocketAddr> {
    let is_new = |endpoint: &&Arc<Endpoint>| others.iter().all(|other| other.id() != endpoint.id());
    all.iter().filter(is_new).map(|endpoint| endpoint.address()).collect()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while the lock is held leaves whole values behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What is shown of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamState {
    /// Its name.
    pub name: String,
    /// How many requests are on their way to it.
    pub in_flight: usize,
    /// Every place where it listens.
    pub endpoints: Vec<EndpointState>,
    /// Which of its names lead nowhere.
    pub trouble: Vec<String>,
}

/// What is shown of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointState {
    /// Where it listens.
    pub address: SocketAddr,
    /// Host and port as in the settings.
    pub authority: String,
    /// What was heard last.
    pub health: Health,
    /// `closed`, `open` or `half-open`.
    pub breaker: &'static str,
    /// How many requests are on their way to it.
    pub in_flight: u64,
    /// Its share in percent of a full one.
    pub weight: u64,
}
