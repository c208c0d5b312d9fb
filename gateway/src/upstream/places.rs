//! Where an upstream listens: what the settings say, and where names lead.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, MutexGuard, PoisonError},
    time::Instant,
};

use super::{Endpoint, Upstream, incidents::Incidents};
use crate::settings::{UpstreamSettings, UpstreamUrl};

/// One URL of the settings, and where it led to last.
#[derive(Debug)]
pub struct Site {
    url: UpstreamUrl,
    addresses: Vec<SocketAddr>,
    /// Why the name cannot be resolved.
    trouble: Option<String>,
}

impl Upstream {
    /// Goes on with other settings; endpoints whose URL is still there stay as they are.
    pub(super) fn configure(&self, settings: &UpstreamSettings, now: Instant) {
        self.settings.store(Arc::new(settings.clone()));
        self.budget.configure(settings.retry_budget);
        let mut sites = self.sites();
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
        self.sites().iter().any(|site| site.url == *url && site.trouble.is_none())
    }

    /// Goes on with the addresses to which `url` leads now; keeps those from before where it leads nowhere.
    pub(super) fn resolved(&self, url: &UpstreamUrl, found: Result<Vec<SocketAddr>, String>, now: Instant) {
        let mut sites = self.sites();
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

    /// Which names cannot be resolved, and why.
    pub(super) fn unresolved(&self) -> Vec<String> {
        self.sites().iter().filter_map(|site| site.trouble.clone()).collect()
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
                    None => {
                        let subject = format!("{} http://{address}", self.name);
                        let incidents = Incidents::new(self.timeline.clone(), subject);
                        let breaker = settings.breaker.clone();
                        Arc::new(Endpoint::new(site.url.clone(), address, breaker, incidents, now))
                    }
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

    fn sites(&self) -> MutexGuard<'_, Vec<Site>> {
        // A panic while the lock is held leaves whole values behind.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address, where the host is one and no name.
fn literal(url: &UpstreamUrl) -> Option<SocketAddr> {
    Some(SocketAddr::new(url.host().parse::<IpAddr>().ok()?, url.port()))
}

/// The addresses of those of `all` that are not among `others`.
fn missing_in(others: &[Arc<Endpoint>], all: &[Arc<Endpoint>]) -> String {
    let is_new = |endpoint: &&Arc<Endpoint>| others.iter().all(|other| other.id() != endpoint.id());
    let addresses = all.iter().filter(is_new).map(|endpoint| endpoint.address().to_string());
    addresses.collect::<Vec<_>>().join(",")
}
