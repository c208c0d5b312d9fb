//! The addresses behind names.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use common::{http::Condition, telemetry::metrics::Registry, timeline::Timeline};

use super::{SECOND, choose, eventually, settings, url};
use crate::{
    settings::{UpstreamSettings, UpstreamUrl},
    upstream::{EndpointFailure, UnavailableReason, Upstream, Upstreams, resolve::resolve_for_ever},
};

fn addresses(upstream: &Upstream) -> Vec<String> {
    upstream.endpoints().iter().map(|endpoint| endpoint.address().to_string()).collect()
}

fn found(addresses: &[&str]) -> Result<Vec<SocketAddr>, String> {
    Ok(addresses.iter().map(|address| address.parse().expect("an address")).collect())
}

fn named() -> (Arc<Upstream>, UpstreamUrl) {
    let upstreams = Upstreams::new(&mut Registry::default(), Timeline::open("gateway", None));
    upstreams.apply(&[settings("users", &["http://users:3001"])]);
    (upstreams.get("users").expect("applied"), url("http://users:3001"))
}

#[tokio::test]
async fn a_name_is_looked_up() {
    let upstreams = Upstreams::new(&mut Registry::default(), Timeline::open("gateway", None));
    upstreams.apply(&[settings("users", &["http://localhost:3001/base", "http://127.0.0.9:1"])]);
    let users = upstreams.get("users").expect("applied");
    assert_eq!(addresses(&users), ["127.0.0.9:1"], "an address needs no resolution");

    upstreams.resolve().await;

    let endpoints = users.endpoints();
    assert!(endpoints.len() >= 2);
    assert!(endpoints[0].address().ip().is_loopback());
    assert_eq!(endpoints[0].address().port(), 3001);
    assert_eq!((endpoints[0].authority(), endpoints[0].base_path()), ("localhost:3001", "/base"));
}

#[test]
fn every_address_of_a_name_is_an_endpoint_as_long_as_it_is_one() {
    let (users, url) = named();
    let now = Instant::now();
    let refused = users.choose(None, now).expect_err("not resolved yet");
    assert_eq!(refused.why, UnavailableReason::NoAddress);
    assert_eq!(users.condition(), Condition::Degraded("its address is not known yet".to_owned()));

    users.resolved(&url, found(&["10.0.0.2:3001", "10.0.0.1:3001", "10.0.0.2:3001"]), now);
    assert_eq!(addresses(&users), ["10.0.0.1:3001", "10.0.0.2:3001"]);
    let kept = users.endpoints()[1].id();
    users.resolved(&url, found(&["10.0.0.2:3001", "10.0.0.3:3001"]), now);

    assert_eq!(addresses(&users), ["10.0.0.2:3001", "10.0.0.3:3001"]);
    assert_eq!(users.endpoints()[0].id(), kept);
}

#[test]
fn a_name_that_leads_nowhere_keeps_the_addresses_from_before() {
    let (users, url) = named();
    let now = Instant::now();
    users.resolved(&url, Err("no such name".to_owned()), now);
    assert_eq!(users.condition(), Condition::Degraded("cannot resolve users: no such name".to_owned()),);
    users.resolved(&url, found(&["10.0.0.1:3001"]), now);
    assert!(users.is_resolved(&url));

    users.resolved(&url, Err("no such name".to_owned()), now);

    assert_eq!(addresses(&users), ["10.0.0.1:3001"]);
    assert!(!users.is_resolved(&url));
}

#[tokio::test]
async fn a_connection_that_fails_has_the_name_looked_up_again() {
    let upstreams = Upstreams::new(&mut Registry::default(), Timeline::open("gateway", None));
    let rarely =
        UpstreamSettings { resolve_every: 3600 * SECOND, ..settings("users", &["http://localhost:1"]) };
    upstreams.apply(&[rarely]);
    let users = upstreams.get("users").expect("applied");
    let url = url("http://localhost:1");
    let resolving = {
        let (users, url) = (users.clone(), url.clone());
        tokio::spawn(async move { resolve_for_ever(&users, &url).await })
    };
    eventually("it is looked up", || !users.endpoints().is_empty()).await;
    let real = addresses(&users);

    users.resolved(&url, found(&["127.0.0.77:1"]), Instant::now());
    assert_ne!(addresses(&users), real);
    choose(&users, Instant::now()).failed(EndpointFailure::Connect, Instant::now());

    eventually("it is looked up again", || addresses(&users) == real).await;
    resolving.abort();
}
