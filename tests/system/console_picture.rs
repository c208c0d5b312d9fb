//! What those see who watch the console: which service, link and broker works, and what was heard last of one that is silent.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use warren::harness::{Folder, eventually, private_node};
use warren::note;

use crate::support::{
    Door, Habits, Shoppers, Viewer, end_stall, link, process, queues_are_registered, seeded, stall, system,
};

/// What is broken is seen broken within a second; a busy machine gets more.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// A service or broker is back, and what was heard of it.
const BACK_WITHIN: Duration = Duration::from_secs(30);

async fn whoever_watches_sees_the_broker_go_and_come_back() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = system().broker(node.url("/")).start().await;
    system.wait_broker().await;
    queues_are_registered(&folder).await;
    let mut viewer = Viewer::of(&system).await;

    let connected = |state: &Value| {
        state["broker"]["state"] == "connected" && link(state, "orders", "broker")["state"] == "up"
    };
    viewer.until(BACK_WITHIN, "the link works", connected).await;
    node.kill9();
    let killed = Instant::now();
    let broken = |state: &Value| {
        state["broker"]["state"] == "away"
            && ["users", "orders"].iter().all(|service| {
                link(state, service, "broker")["state"] == "down"
                    && link(state, "broker", service)["state"] == "down"
            })
    };
    let state = viewer.until(SEEN_WITHIN, "both links are broken", broken).await;
    note!("seen broken {:?} after the kill", killed.elapsed());
    assert!(link(&state, "orders", "broker")["detail"].is_string(), "{state:#}");
    assert!(state["broker"]["name"].is_string(), "it is known which one is away: {state:#}");

    node.start().await.expect("it starts on the same port and data");
    viewer.until(BACK_WITHIN, "the link works again", connected).await;
    system.finish().await;
}

async fn a_service_that_is_killed_is_shown_silent_with_what_was_heard_last_and_comes_back() {
    let system = system().without_broker().start().await;
    let mut viewer = Viewer::of(&system).await;
    let users_is = |wanted: &'static str| move |state: &Value| process(state, "users")["state"] == wanted;
    // Without a broker that is as well as it gets.
    let before = viewer.until(BACK_WITHIN, "users is heard", users_is("degraded")).await;
    let pid = system.users.pid();
    assert_eq!(process(&before, "users")["pid"], pid);

    system.users.kill9();
    let killed = Instant::now();
    let silent = viewer.until(SEEN_WITHIN, "users is silent", users_is("silent")).await;
    note!("seen silent {:?} after the kill", killed.elapsed());
    let shown = process(&silent, "users");
    assert_eq!(shown["pid"], pid, "what was heard last");
    assert!(shown["heardAt"].is_string() && shown["reason"].is_string(), "{shown:#}");
    assert!(shown["actors"].as_array().is_some_and(|actors| !actors.is_empty()), "{shown:#}");
    for from in ["gateway", "orders"] {
        assert_eq!(link(&silent, from, "users")["state"], "down", "{silent:#}");
    }
    let timeline = system.gateway.internal.get("/console/timeline").await.expect(200).json();
    assert_eq!(
        timeline["silent"].as_array().map(|all| all.contains(&json!("users"))),
        Some(true),
        "{timeline}"
    );

    // The health check looks once a second: who is back before that was not away.
    let absence = async |is_over: bool| {
        eventually(BACK_WITHIN, "its absence is one entry of the timeline", async || {
            let path = "/console/timeline?service=gateway&kind=ejection&text=users";
            let timeline = system.gateway.internal.get(path).await.expect(200).json();
            match timeline["items"].as_array().expect("a list").as_slice() {
                [item]
                    if item["endedAt"].is_string() == is_over && item["durationMs"].is_u64() == is_over =>
                {
                    Ok(())
                }
                _ => Err(timeline.to_string()),
            }
        })
        .await;
    };
    absence(false).await;
    system.users.restart().await;
    let back = viewer.until(BACK_WITHIN, "users is back", users_is("degraded")).await;
    assert_eq!(process(&back, "users")["pid"], system.users.pid());
    assert_eq!(process(&back, "users")["heardAt"], Value::Null);
    viewer
        .until(BACK_WITHIN, "the link works", |state| link(state, "gateway", "users")["state"] == "up")
        .await;
    absence(true).await;
    system.expect_no_broker();
    system.finish().await;
}

async fn a_service_that_hangs_is_shown_silent() {
    let system = system().without_broker().start().await;
    let mut viewer = Viewer::of(&system).await;

    system.orders.stop();
    viewer
        .until(SEEN_WITHIN, "orders is silent", |state| process(state, "orders")["state"] == "silent")
        .await;
    system.orders.cont();
    viewer
        .until(BACK_WITHIN, "orders is back", |state| process(state, "orders")["state"] == "degraded")
        .await;
    system.expect_no_broker();
    system.finish().await;
}

async fn a_stalled_actor_does_not_make_its_service_look_silent() {
    let system = system().without_broker().env_of_all("DEMO_FAULTS", "true").start().await;
    let mut viewer = Viewer::of(&system).await;
    let is_stalled = |state: &Value| {
        let users = process(state, "users");
        let actors = users["actors"].as_array().expect("a list");
        let stalled = actors.iter().any(|actor| actor["name"] == "passwords" && actor["observed"].is_null());
        stalled && users["state"] != "silent" && actors.iter().any(|actor| actor["observed"].is_object())
    };

    stall(&system.users, "passwords").await;
    viewer.until(SEEN_WITHIN, "one actor says nothing, and the others do", is_stalled).await;

    end_stall(&system.users, "passwords").await;
    viewer.until(BACK_WITHIN, "it goes on", |state| !is_stalled(state)).await;
    system.expect_no_broker();
    system.finish().await;
}

async fn what_flows_is_what_is_used_and_nothing_where_nobody_does_however_many_watch() {
    let system = system().start().await;
    system.gateway.wait_not_degraded().await;
    let mut viewer = Viewer::of(&system).await;
    let requests = |state: &Value| {
        let answered = |service| process(state, service)["counts"]["requests"].as_u64().expect("a count");
        (answered("users"), answered("orders"))
    };
    let flows = |state: &Value| {
        let links = state["links"].as_array().expect("a list of links");
        links.iter().any(|link| link["rate"].as_f64() != Some(0.0))
    };

    // What the start has caused, such as the demo's user, flows first.
    let is_idle = |state: &Value| !flows(state) && link(state, "orders", "broker")["state"] == "up";
    let before = viewer.until(BACK_WITHIN, "nothing flows", is_idle).await;
    for _ in 0..3 {
        // Others ask as well, such as for probes and metrics.
        for child in [&system.users, &system.orders] {
            for path in
                ["/health/ready", "/metrics", "/actors", "/timeline", "/log-level", "/ledger?about=u1"]
            {
                child.internal.get(path).await.expect(200);
            }
        }
        let state = system.gateway.internal.get("/console/state").await.expect(200).json();
        assert!(!flows(&state), "{state:#}");
        assert_eq!(requests(&state), requests(&before), "{state:#}");
    }

    system.api.get("/api/users/u1").await.expect(200);
    let used = move |state: &Value| requests(state).0 == requests(&before).0 + 1;
    viewer.until(BACK_WITHIN, "what is asked by a user counts", used).await;

    // And then all of it, the whole way of orders and their events.
    let shoppers = Shoppers::start(&Door::public(&system), Habits::default(), &mut seeded("flow"));
    let ways = [
        ("gateway", "orders"),
        ("orders", "users"),
        ("orders", "broker"),
        ("broker", "users"),
        ("users", "broker"),
    ];
    for (from, to) in ways {
        let flows = |state: &Value| link(state, from, to)["rate"].as_f64() > Some(0.0);
        viewer.until(BACK_WITHIN, &format!("from {from} to {to}"), flows).await;
    }
    shoppers.go_home().await.assert_untroubled();
    system.finish().await;
}

warren::stories! {
    on both brokers:
        whoever_watches_sees_the_broker_go_and_come_back;
    on the embedded broker:
        what_flows_is_what_is_used_and_nothing_where_nobody_does_however_many_watch;
    without a broker:
        a_service_that_is_killed_is_shown_silent_with_what_was_heard_last_and_comes_back,
        a_service_that_hangs_is_shown_silent,
        a_stalled_actor_does_not_make_its_service_look_silent;
}
