//! Other settings while requests are on their way, and what is counted.

use std::{sync::Arc, time::Instant};

use common::{
    telemetry::metrics::{Metrics, Registry},
    timeline::Timeline,
};

use super::{choose, eject, find, is_closed, settings};
use crate::{
    settings::UpstreamSettings,
    upstream::{EndpointId, Upstream, Upstreams},
};

fn upstreams(all: &[UpstreamSettings]) -> Upstreams {
    let upstreams = Upstreams::new(&mut Registry::default(), Timeline::open("gateway", None));
    upstreams.apply(all);
    upstreams
}

fn ids(upstream: &Upstream) -> Vec<EndpointId> {
    upstream.endpoints().iter().map(|endpoint| endpoint.id()).collect()
}

#[test]
fn what_stays_in_the_settings_keeps_its_endpoints_and_what_is_known_of_them() {
    let upstreams = upstreams(&[settings("users", &["http://127.0.0.1:1", "http://127.0.0.2:1"])]);
    let users = upstreams.get("users").expect("applied");
    let now = Instant::now();
    let before = ids(&users);
    eject(&users, before[1], now);
    let waiting = choose(&users, now);

    let other_figures =
        UpstreamSettings { in_flight: 0, ..settings("users", &["http://127.0.0.3:1", "http://127.0.0.2:1"]) };
    upstreams.apply(&[other_figures, settings("orders", &["http://127.0.0.1:2"])]);

    assert!(Arc::ptr_eq(&users, &upstreams.get("users").expect("still there")));
    assert!(upstreams.get("orders").is_some());
    let after = ids(&users);
    assert_eq!(after[1], before[1]);
    assert!(!before.contains(&after[0]), "another address is another endpoint");
    assert!(!is_closed(&find(&users, after[1])), "still left alone");
    assert!(users.admit().is_none(), "the figures are those of now");
    waiting.succeeded(now);
    assert_eq!(waiting.endpoint().address().to_string(), "127.0.0.1:1");
}

#[test]
fn an_address_that_comes_back_is_another_endpoint() {
    let upstreams = upstreams(&[settings("users", &["http://127.0.0.1:1"])]);
    let users = upstreams.get("users").expect("applied");
    let before = ids(&users);

    upstreams.apply(&[settings("users", &["http://127.0.0.1:1/base"])]);
    upstreams.apply(&[settings("users", &["http://127.0.0.1:1"])]);

    assert_ne!(ids(&users), before);
}

#[test]
fn what_is_gone_from_the_settings_is_gone_for_those_who_ask_but_not_for_those_who_hold_it() {
    let mut registry = Registry::default();
    let upstreams = Upstreams::new(&mut registry, Timeline::open("gateway", None));
    upstreams.apply(&[settings("users", &["http://127.0.0.1:1"])]);
    let metrics = Metrics::new(registry);
    let users = upstreams.get("users").expect("applied");
    let admitted = users.admit();
    assert!(metrics.encode().contains(r#"gateway_upstream_in_flight{upstream="users"} 1"#));
    assert!(metrics.encode().contains(r#"gateway_upstream_endpoints{upstream="users",state="unknown"} 1"#));

    upstreams.apply(&[]);

    assert!(upstreams.get("users").is_none());
    assert!(!metrics.encode().contains("users"), "{}", metrics.encode());
    assert!(users.choose(None, Instant::now()).is_ok());
    drop(admitted);
    assert_eq!(users.in_flight(), 0);
}

#[test]
fn failures_ejections_and_retries_are_counted() {
    let mut registry = Registry::default();
    let upstreams = Upstreams::new(&mut registry, Timeline::open("gateway", None));
    upstreams.apply(&[settings("users", &["http://127.0.0.1:1"])]);
    let metrics = Metrics::new(registry);
    let users = upstreams.get("users").expect("applied");

    eject(&users, ids(&users)[0], Instant::now());
    let taken = (0..5).filter(|_| users.take_retry()).count();

    let shown = metrics.encode();
    for line in [
        r#"gateway_upstream_failures_total{upstream="users",kind="timeout"} 5"#,
        r#"gateway_upstream_failures_total{upstream="users",kind="connect"} 0"#,
        r#"gateway_upstream_ejections_total{upstream="users"} 1"#,
        r#"gateway_upstream_endpoints{upstream="users",state="ejected"} 1"#,
        &format!(r#"gateway_upstream_retries_total{{upstream="users",outcome="taken"}} {taken}"#),
        &format!(r#"gateway_upstream_retries_total{{upstream="users",outcome="refused"}} {}"#, 5 - taken),
    ] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
}
