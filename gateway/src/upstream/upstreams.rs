use std::{sync::Arc, time::Instant};

use arc_swap::ArcSwap;
use common::{telemetry::metrics::Registry, timeline::Timeline};
use futures_util::future::join_all;
use tokio::sync::Notify;

use super::{Upstream, metrics::Metrics, resolve::resolve};
use crate::settings::UpstreamSettings;

/// Every upstream by name. Clones share them.
#[derive(Clone, Debug)]
pub struct Upstreams(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    all: ArcSwap<Vec<Arc<Upstream>>>,
    metrics: Metrics,
    timeline: Timeline,
    changed: Notify,
}

impl Upstreams {
    /// None yet; counts in `registry`, and writes into `timeline` when an endpoint fails and is back.
    pub fn new(registry: &mut Registry, timeline: Timeline) -> Self {
        let metrics = Metrics::register(registry);
        Self(Arc::new(Shared { all: ArcSwap::default(), metrics, timeline, changed: Notify::new() }))
    }

    /// Makes the upstreams what `settings` say. Those that were there before keep their endpoints, and what is
    /// known of these, as far as the URLs are the same. Nothing that is on its way is disturbed: whoever holds
    /// an upstream that is gone may go on with it.
    ///
    /// Not to be called twice at once.
    pub fn apply(&self, settings: &[UpstreamSettings]) {
        let now = Instant::now();
        let old = self.all();
        let keep_or_make = |settings: &UpstreamSettings| match find(&old, &settings.name) {
            Some(upstream) => {
                upstream.configure(settings, now);
                upstream
            }
            None => Arc::new(Upstream::new(
                settings,
                self.0.metrics.of(&settings.name),
                self.0.timeline.clone(),
                now,
            )),
        };
        let new: Vec<_> = settings.iter().map(keep_or_make).collect();
        for gone in old.iter().filter(|upstream| find(&new, upstream.name()).is_none()) {
            self.0.metrics.forget(gone.name());
        }
        self.0.all.store(Arc::new(new));
        self.0.changed.notify_one();
    }

    /// Finds one by its name; for those who build routes, not for every request.
    pub fn get(&self, name: &str) -> Option<Arc<Upstream>> {
        find(&self.0.all.load(), name)
    }

    /// All of them, in the order of the settings.
    pub fn all(&self) -> Arc<Vec<Arc<Upstream>>> {
        self.0.all.load_full()
    }

    /// Resolves every name once, so that whoever starts can wait for the addresses; [`HealthCheck`] goes on.
    ///
    /// [`HealthCheck`]: super::HealthCheck
    pub async fn resolve(&self) {
        let all = self.all();
        let names =
            all.iter().flat_map(|upstream| upstream.names().into_iter().map(move |url| (upstream, url)));
        join_all(names.map(|(upstream, url)| async move { resolve(upstream, &url).await })).await;
    }

    /// Waits until there are other settings than at the last call; for one waiting task.
    pub(super) async fn changed(&self) {
        self.0.changed.notified().await;
    }
}

fn find(upstreams: &[Arc<Upstream>], name: &str) -> Option<Arc<Upstream>> {
    upstreams.iter().find(|upstream| upstream.name() == name).cloned()
}
