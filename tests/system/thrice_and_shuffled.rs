//! Every event comes three times, and in no order: it counts once.

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;
use warren::harness::{System, eventually};
use warren::note;

use crate::support::{
    Actors, Amqp, Door, Habits, Message, Published, Shoppers, order_count, seeded, start_services, system,
    under_way,
};

async fn copies_of_real_events_with_their_ids_change_nothing() {
    let system = start_services(system()).await;
    let mut rng = seeded("copies");
    let amqp = Amqp::connect(&system.amqp_url).await;
    amqp.declare("copies", "events", &["#"]).await;
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut rng);
    shoppers.wait_placed(200).await;

    // Two more of each while the originals are still on their way, and again when they are long done.
    let mut captured = Vec::new();
    while captured.len() < 100 {
        captured.extend(amqp.take("copies").await);
    }
    publish_shuffled(&amqp, &captured, 2, &mut rng).await;
    let ledger = shoppers.go_home().await;
    while captured.len() < ledger.users.len() + ledger.placed.len() + ledger.cancelled.len() {
        captured.extend(amqp.take("copies").await);
    }
    amqp.remove("copies").await;
    publish_shuffled(&amqp, &captured, 3, &mut rng).await;

    ledger.print("copies");
    ledger.audit(&system).await;
    note!("copies: {} events came again", seen_before(&system).await);
    assert!(seen_before(&system).await >= 3 * captured.len() as u64);
    system.finish().await;
}

async fn events_that_come_thrice_and_cancellations_that_come_first_are_counted_exactly() {
    const ORDERS: usize = 200;
    let system = start_services(system()).await;
    let mut rng = seeded("thrice");
    let amqp = Amqp::connect(&system.amqp_url).await;
    let users = [register(&system).await, register(&system).await, "u1".to_owned()];

    let mut expected = BTreeMap::<String, i64>::new();
    let mut events = Vec::new();
    for number in 0..ORDERS {
        let user = &users[rng.usize(0..users.len())];
        let (id, is_cancelled) = (Uuid::now_v7(), rng.bool());
        let order = |status| json!({ "id": id, "userId": user, "items": ["book"], "status": status });
        // Every third has no message id: then routing key and body make it.
        let message = |key, status| match number % 3 {
            0 => Message::event(key, &order(status)),
            _ => Message::event(key, &order(status)).id(&Uuid::now_v7().to_string()),
        };
        events.push(message("order.created", "created"));
        if is_cancelled {
            events.push(message("order.cancelled", "cancelled"));
        }
        *expected.entry(user.clone()).or_default() += i64::from(!is_cancelled);
    }
    publish_shuffled(&amqp, &events, 3, &mut rng).await;

    eventually(Duration::from_secs(30), "each event counts once", async || {
        let under_way = under_way(&system, &amqp).await;
        let mut counted = BTreeMap::new();
        for user in &users {
            counted.insert(user.clone(), order_count(&system, user).await);
        }
        if under_way.is_empty() && counted == expected {
            Ok(())
        } else {
            Err(format!("{counted:?} instead of {expected:?}; on their way: {under_way:?}"))
        }
    })
    .await;
    assert_eq!(seen_before(&system).await, 2 * events.len() as u64);
    system.finish().await;
}

async fn publish_shuffled(amqp: &Amqp, events: &[Message], times: usize, rng: &mut Rng) {
    let mut copies: Vec<Message> = (0..times).flat_map(|_| events.iter().cloned()).collect();
    rng.shuffle(&mut copies);
    let published = amqp.publish_all(&copies).await;
    assert!(published.iter().all(|published| *published == Published::Routed));
}

/// How many deliveries the consumers of both services knew again.
async fn seen_before(system: &System) -> u64 {
    let mut seen_before = 0;
    for child in [&system.users, &system.orders] {
        let actors = Actors::of(child).await;
        for consumer in actors.names().iter().filter(|name| name.starts_with("consumer:")) {
            seen_before += actors.observed(consumer)["seenBefore"].as_u64().expect("a count");
        }
    }
    seen_before
}

async fn register(system: &System) -> String {
    let body = json!({ "name": "Grace", "email": format!("{}@example.com", Uuid::now_v7().simple()) });
    let user: Value = system.users.http.post("/users").json(&body).await.expect(201).json();
    user["id"].as_str().expect("an id").to_owned()
}

warren::stories! {
    on both brokers:
        copies_of_real_events_with_their_ids_change_nothing,
        events_that_come_thrice_and_cancellations_that_come_first_are_counted_exactly;
}
