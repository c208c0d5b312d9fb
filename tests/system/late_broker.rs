//! The broker comes late, or never: the services serve without it.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};
use warren::harness::{Folder, System, absent_node, eventually, eventually_equal};
use warren::note;
use warren::service::Service;

use crate::support::{
    Actors, Amqp, Door, Habits, Shoppers, order_count, orders_of, seeded, system, under_way,
};

async fn services_start_in_any_order_serve_and_find_their_broker_when_it_comes() {
    let folder = Folder::new();
    let node = absent_node(&folder);
    let system = system().broker(node.url("/")).prepare().await;

    // Orders first: it answers, and refuses what it cannot check.
    system.orders.restart().await;
    let refused = order(&system).await;
    refused.clone().expect(503);
    assert!(refused.header("retry-after").is_some(), "{refused}");
    assert_eq!(orders_of(&system, "u1").await, Vec::<Value>::new());
    system.users.restart().await;
    eventually(Duration::from_secs(10), "orders believes in users again", async || {
        let answer = order(&system).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    for child in [&system.users, &system.orders] {
        assert_eq!(child.http.get("/health/ready").await.expect(200).json()["status"], "degraded");
    }
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("late broker"));
    shoppers.wait_placed(50).await;

    node.start().await.expect("the port is free");
    let came = Instant::now();
    for child in [&system.users, &system.orders] {
        child.wait_not_degraded().await;
    }
    eventually_equal(Duration::from_secs(20), "the first order is counted", 1, async || {
        order_count(&system, "u1").await
    })
    .await;
    note!("late broker: events flow {:?} after it came", came.elapsed());
    shoppers.wait_placed(20).await;
    let ledger = shoppers.go_home().await;

    ledger.print("late broker");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

async fn without_a_broker_orders_are_accepted_up_to_the_bound_and_sent_when_it_comes() {
    const BOUND: usize = 40;
    let folder = Folder::new();
    let node = absent_node(&folder);
    let bound = BOUND.to_string();
    let system =
        system().broker(node.url("/")).env(Service::Orders, "STORE_OUTBOX_EVENTS", &bound).prepare().await;
    system.users.restart().await;
    system.orders.restart().await;

    for _ in 0..BOUND {
        order(&system).await.expect(201);
    }
    for _ in 0..10 {
        let refused = order(&system).await.expect(503);
        assert_eq!(refused.json()["error"], "outbox full", "{refused}");
        let retry_after = refused.header("retry-after").and_then(|seconds| seconds.parse::<u64>().ok());
        assert!(retry_after.is_some_and(|seconds| seconds >= 1), "{refused}");
    }
    let stored = orders_of(&system, "u1").await;
    assert_eq!(stored.len(), BOUND, "what was refused is not stored");
    let cancel = format!("/orders/{}/cancel", stored[0]["id"].as_str().expect("an id"));
    assert_eq!(system.orders.http.post(&cancel).await.expect(503).json()["error"], "outbox full");

    node.start().await.expect("the port is free");
    system.orders.wait_not_degraded().await;
    system.users.wait_not_degraded().await;
    eventually(Duration::from_secs(20), "there is room again", async || {
        let answer = order(&system).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    let counted = async || order_count(&system, "u1").await;
    eventually_equal(Duration::from_secs(20), "each order is counted", BOUND as i64 + 1, counted).await;
    assert_eq!(orders_of(&system, "u1").await.len(), BOUND + 1);
    system.finish().await;
}

async fn ten_thousand_events_that_waited_are_soon_with_their_consumer() {
    const EVENTS: u32 = 10_000;
    const CLIENTS: u32 = 40;
    let folder = Folder::new();
    let node = absent_node(&folder);
    let system = system().broker(node.url("/")).prepare().await;
    system.users.restart().await;
    system.orders.restart().await;
    let clients = (0..CLIENTS).map(async |_| {
        for _ in 0..EVENTS / CLIENTS {
            order(&system).await.expect(201);
        }
    });
    join_all(clients).await;
    let accepted = i64::from(EVENTS);

    node.start().await.expect("the port is free");
    let connected = async || Actors::of(&system.orders).await.is_running("broker");
    eventually_equal(Duration::from_secs(30), "orders has its broker", true, connected).await;
    let begun = Instant::now();
    let pending = async || system.orders.metric("orders_outbox_pending").await;
    eventually_equal(Duration::from_secs(30), "the outbox is empty", Some(0.0), pending).await;
    let sent = begun.elapsed();
    let counted = async || order_count(&system, "u1").await;
    eventually_equal(Duration::from_secs(30), "each order is counted", accepted, counted).await;

    note!("waited: {accepted} events, sent in {sent:?}, counted in {:?}", begun.elapsed());
    let amqp = Amqp::connect(&system.amqp_url).await;
    eventually_equal(Duration::from_secs(10), "nothing is on its way", Vec::<String>::new(), async || {
        under_way(&system, &amqp).await
    })
    .await;
    assert_eq!(order_count(&system, "u1").await, accepted, "and none twice");
    system.finish().await;
}

async fn services_that_never_had_a_broker_keep_their_events_and_end_in_good_order() {
    let system = system().without_broker().prepare().await;
    system.users.restart().await;
    system.orders.restart().await;
    order(&system).await.expect(201);

    for child in [&system.orders, &system.users] {
        let asked = Instant::now();
        assert_eq!(child.terminate().await.code(), Some(0));
        note!("{}: ended {:?} after SIGTERM", child.service(), asked.elapsed());
    }
    system.users.restart().await;
    system.orders.restart().await;

    assert_eq!(system.orders.metric("orders_outbox_pending").await, Some(1.0));
    assert_eq!(orders_of(&system, "u1").await.len(), 1);
    system.expect_no_broker();
    system.finish().await;
}

async fn order(system: &System) -> warren::http::Answer {
    system.orders.http.post("/orders").json(&json!({ "userId": "u1", "items": ["book"] })).await
}

warren::stories! {
    on both brokers:
        services_start_in_any_order_serve_and_find_their_broker_when_it_comes,
        without_a_broker_orders_are_accepted_up_to_the_bound_and_sent_when_it_comes,
        ten_thousand_events_that_waited_are_soon_with_their_consumer;
    without a broker:
        services_that_never_had_a_broker_keep_their_events_and_end_in_good_order;
}
