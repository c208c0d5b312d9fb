//! Upstreams as a whole: choosing, reloading, resolving and asking.

mod choosing;
mod reloading;

mod names;

mod asking;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use common::{telemetry::metrics::Registry, timeline::Timeline};

use super::{Choice, Endpoint, EndpointFailure, EndpointId, Upstream, Upstreams, breaker::Gate};
use crate::settings::{UpstreamSettings, UpstreamUrl};

const SECOND: Duration = Duration::from_secs(1);

fn url(url: &str) -> UpstreamUrl {
    url.parse().expect("a URL")
}

fn settings(name: &str, urls: &[&str]) -> UpstreamSettings {
    UpstreamSettings { urls: urls.iter().map(|raw| url(raw)).collect(), ..UpstreamSettings::new(name) }
}

/// An upstream with endpoints at the addresses 127.0.0.1 and so on.
fn upstream(endpoints: u8) -> Arc<Upstream> {
    let urls = (1..=endpoints).map(|n| url(&format!("http://127.0.0.{n}:3001"))).collect();
    let upstreams = Upstreams::new(&mut Registry::default(), Timeline::open("gateway", None));
    upstreams.apply(&[UpstreamSettings { urls, ..UpstreamSettings::new("users") }]);
    upstreams.get("users").expect("it was applied")
}

fn choose(upstream: &Arc<Upstream>, now: Instant) -> Choice {
    upstream.choose(None, now).expect("an endpoint is usable")
}

/// Fails every request to `endpoint` until it is left alone.
fn eject(upstream: &Arc<Upstream>, endpoint: EndpointId, now: Instant) {
    for _ in 0..1000 {
        let choice = choose(upstream, now);
        if choice.endpoint().id() == endpoint {
            choice.failed(EndpointFailure::Timeout, now);
        }
        if !matches!(find(upstream, endpoint).gate(), Gate::Closed { .. }) {
            return;
        }
    }
    panic!("not ejected");
}

fn find(upstream: &Upstream, id: EndpointId) -> Arc<Endpoint> {
    upstream.endpoints().iter().find(|endpoint| endpoint.id() == id).expect("it is there").clone()
}

fn is_closed(endpoint: &Endpoint) -> bool {
    matches!(endpoint.gate(), Gate::Closed { .. })
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let deadline = Instant::now() + 10 * SECOND;
    while !holds() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
