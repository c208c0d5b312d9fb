//! A service cuts off its own link, has it blocked, and kills itself, where faults are switched on.

use std::os::unix::process::ExitStatusExt;
use std::time::Duration;

use serde_json::{Value, json};
use warren::harness::{Child, System, eventually, eventually_equal};
use warren::service::Service;

use crate::support::{Actors, problem, system};

/// Everything here takes milliseconds; a busy machine gets more.
const DEADLINE: Duration = Duration::from_secs(20);

/// Longer than any step of a story: what ends a fault is the story's own word.
const LONG: u64 = 60_000;

async fn a_link_that_is_cut_off_is_not_made_again_until_the_time_is_over_and_its_events_wait() {
    let system = system().env_of_all("DEMO_FAULTS", "true").start().await;
    let orders = &system.orders;
    let before = Actors::of(orders).await.generation("broker");

    fault(orders, "/link/fault", json!({ "kind": "cut", "ms": LONG })).await;
    eventually(DEADLINE, "the link was tried again, in vain", async || {
        let actors = orders.actors().await;
        let broker = actor(&actors, "broker");
        let (generation, cause) = (broker["generation"].as_u64(), broker["lastCause"].to_string());
        let in_vain = generation > Some(before + 1) && cause.contains("cut off by a fault request, for");
        if in_vain { Ok(()) } else { Err(broker.to_string()) }
    })
    .await;
    assert!(orders.log_contains(r#"cause="lost: cut off by a fault request""#), "the living link's end");
    place(&system).await;
    waiting(orders, 1.0).await;
    assert_eq!(Actors::of(&system.users).await.generation("broker"), 1, "another's link is its own");

    fault(orders, "/link/fault", json!({ "kind": "cut", "ms": 1 })).await;
    orders.wait_not_degraded().await;
    waiting(orders, 0.0).await;
    counted(&system, 1).await;
    system.finish().await;
}

async fn a_link_that_is_blocked_says_so_and_publishes_nothing_until_the_time_is_over() {
    let system = system().env_of_all("DEMO_FAULTS", "true").start().await;
    let orders = &system.orders;
    let link = async || Actors::of(orders).await.observed("broker")["link"].clone();

    fault(orders, "/link/fault", json!({ "kind": "block", "ms": LONG })).await;
    eventually_equal(DEADLINE, "the link", json!("blocked"), link).await;
    assert_eq!(orders.metric("orders_broker_blocked").await, Some(1.0));
    place(&system).await;
    waiting(orders, 1.0).await;

    fault(orders, "/link/fault", json!({ "kind": "block", "ms": 1 })).await;
    eventually_equal(DEADLINE, "the link", json!("connected"), link).await;
    waiting(orders, 0.0).await;
    counted(&system, 1).await;
    assert_eq!(Actors::of(orders).await.generation("broker"), 1, "the link was never lost");
    let blocks = eventually(DEADLINE, "the block is told with what waited for its end", async || {
        let told = orders.internal.get("/timeline").await.expect(200).json();
        let mut blocks = told["items"].as_array().expect("a list").clone();
        blocks.retain(|entry| entry["kind"] == "blocked");
        if blocks.iter().any(|entry| entry["drainedMs"].is_u64()) { Ok(blocks) } else { Err(told) }
    })
    .await;
    let [block] = &blocks[..] else { panic!("one block is one entry: {blocks:?}") };
    assert!(block["endedAt"].is_string() && block["durationMs"].as_u64() > Some(0), "{block}");
    assert_eq!((&block["subject"], &block["waited"]), (&json!("broker"), &json!(1)), "{block}");
    system.finish().await;
}

async fn a_process_kills_itself_only_where_somebody_starts_it_again() {
    let system = system().env_of_all("DEMO_FAULTS", "true").start().await;
    let (users, kill) = (&system.users, json!({ "kind": "kill" }));

    let refused =
        problem(&users.internal.post("/process/fault").json(&kill).await, 409, "nobody to start it again");
    assert!(refused["detail"].as_str().is_some_and(|why| why.contains("WARREN_KEEPER")), "{refused}");
    assert!(users.terminate().await.success(), "it was still there");

    users.set_env("WARREN_KEEPER", "this test");
    users.restart().await;
    fault(users, "/process/fault", kill).await;
    assert_eq!(users.ended(DEADLINE).await.signal(), Some(9));
    users.restart().await;
    system.wait_broker().await;
    system.finish().await;
}

async fn faults_of_link_and_process_have_bounds_and_are_not_there_unless_they_are_switched_on() {
    let with = system().env(Service::Users, "DEMO_FAULTS", "true").start().await;
    for (path, body, complaint) in [
        ("/link/fault", json!({ "kind": "cut", "ms": 60_001 }), "from 1 to 60000 ms"),
        ("/link/fault", json!({ "kind": "block", "ms": 0 }), "from 1 to 60000 ms"),
        ("/link/fault", json!({ "kind": "cut" }), "missing field `ms`"),
        ("/link/fault", json!({ "kind": "bend", "ms": 1 }), "expected `cut` or `block`"),
        ("/process/fault", json!({ "kind": "maim" }), "expected `kill`"),
    ] {
        let refused = problem(&with.users.internal.post(path).json(&body).await, 400, "invalid body");
        assert!(refused["detail"].as_str().is_some_and(|why| why.contains(complaint)), "{refused}");
    }
    // Orders was not told to have faults, and the gateway has no link.
    for (child, path) in [
        (&with.orders, "/link/fault"),
        (&with.orders, "/process/fault"),
        (&with.gateway, "/link/fault"),
        (&with.gateway, "/process/fault"),
    ] {
        let body = json!({ "kind": "cut", "ms": 1000 });
        problem(&child.internal.post(path).json(&body).await, 404, "not found");
    }
    with.finish().await;
}

async fn fault(child: &Child, path: &str, body: Value) {
    child.internal.post(path).json(&body).await.expect(202);
}

async fn place(system: &System) {
    let order = json!({ "userId": "u1", "items": ["book"] });
    system.api.post("/api/orders").json(&order).await.expect(201);
}

async fn waiting(child: &Child, events: f64) {
    let metric = format!("{}_outbox_pending", child.service());
    eventually_equal(DEADLINE, &metric, Some(events), async || child.metric(&metric).await).await;
}

async fn counted(system: &System, orders: u64) {
    eventually_equal(DEADLINE, "Ada's orders", json!(orders), async || {
        system.api.get("/api/users/u1").await.expect(200).json()["orderCount"].clone()
    })
    .await;
}

fn actor<'a>(report: &'a Value, name: &str) -> &'a Value {
    let actors = report["actors"].as_array().unwrap_or_else(|| panic!("no actors in {report}"));
    actors.iter().find(|actor| actor["name"] == name).unwrap_or_else(|| panic!("no {name} in {report}"))
}

warren::stories! {
    on both brokers:
        a_link_that_is_cut_off_is_not_made_again_until_the_time_is_over_and_its_events_wait,
        a_link_that_is_blocked_says_so_and_publishes_nothing_until_the_time_is_over;
    on the embedded broker:
        a_process_kills_itself_only_where_somebody_starts_it_again,
        faults_of_link_and_process_have_bounds_and_are_not_there_unless_they_are_switched_on;
}
