//! The broker is there and says nothing: stopped by SIGSTOP, or short of memory and blocking whoever publishes.

use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;
use warren::harness::{Child, Folder, System, eventually, eventually_equal, private_node};
use warren::note;

use crate::support::{
    Actors, Amqp, Door, Habits, Holds, Message, Published, Shoppers, order_count, seeded, start_services,
    system,
};

/// Two heartbeats and a half, and some for a busy machine.
const NOTICED_WITHIN: Duration = Duration::from_millis(12_500 + 5_000);

async fn a_stopped_broker_is_noticed_by_its_silence_and_orders_go_on() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = start_services(system().broker(node.url("/"))).await;
    let pids = services(&system).map(Child::pid);
    let shoppers =
        Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("broker stopped"));
    shoppers.wait_placed(50).await;
    let warm = services(&system).map(Holds::now);

    node.stop();
    let stopped_since = Instant::now();
    for child in services(&system) {
        eventually(NOTICED_WITHIN, "the silence is noticed", async || {
            let readiness = child.http.get("/health/ready").await.expect(200).text();
            if readiness.contains("degraded") { Ok(()) } else { Err(readiness) }
        })
        .await;
        note!("{}: silence noticed within {:?}", child.service(), stopped_since.elapsed());
    }
    // Long enough for several attempts, each of which finds a listener that never speaks.
    let attempts = Actors::of(&system.orders).await.generation("broker") + 2;
    eventually(Duration::from_secs(30), "orders tries again and again", async || {
        shoppers.wait_placed(1).await;
        let generation = Actors::of(&system.orders).await.generation("broker");
        if generation > attempts { Ok(()) } else { Err(generation.to_string()) }
    })
    .await;
    node.cont();
    let continued = Instant::now();
    for child in services(&system) {
        child.wait_not_degraded().await;
    }
    note!("broker stopped: the link works {:?} after SIGCONT", continued.elapsed());
    assert!(continued.elapsed() < Duration::from_secs(20), "{:?}", continued.elapsed());
    shoppers.wait_placed(50).await;
    let ledger = shoppers.go_home().await;

    ledger.print("broker stopped");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    assert_eq!(services(&system).map(Child::pid), pids);
    for warm in warm {
        warm.still().await;
    }
    system.finish().await;
}

async fn a_blocked_publisher_keeps_its_link_while_orders_and_consumers_go_on() {
    const WAITING: i64 = 300;
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = start_services(system().broker(node.url("/"))).await;
    // Events that wait for users, to be consumed while nobody can publish.
    assert!(system.users.terminate().await.success());
    let amqp = Amqp::connect(&node.url("/")).await;
    let waiting: Vec<Message> = (0..WAITING).map(|_| order_created("u1")).collect();
    assert!(amqp.publish_all(&waiting).await.iter().all(|published| *published == Published::Routed));

    node.block_publishers().await.expect("the broker takes orders");
    system.users.restart().await;
    let (door, mut rng) = (Door::internal(&system), seeded("blocked"));
    let shoppers = Shoppers::start(&door, Habits::default(), &mut rng);
    let generation = Actors::of(&system.orders).await.generation("broker");
    eventually(Duration::from_secs(10), "orders shows that it is blocked", async || {
        let observed = Actors::of(&system.orders).await.observed("broker");
        if observed["link"] == "blocked" && observed["blockedSince"].is_string() {
            Ok(())
        } else {
            Err(observed.to_string())
        }
    })
    .await;
    eventually_equal(Duration::from_secs(10), "consumers go on", WAITING, async || {
        order_count(&system, "u1").await
    })
    .await;

    // Longer than a confirm may take when the broker takes messages at all.
    shoppers.shop_for(Duration::from_secs(12)).await;
    let actors = Actors::of(&system.orders).await;
    assert_eq!(
        actors.generation("broker"),
        generation,
        "the link was dropped: {:?}",
        actors.timeline("broker")
    );
    assert_eq!(actors.observed("broker")["link"], "blocked");
    assert_eq!(Amqp::connect(&node.url("/")).await.depth("users.order-created").await, Some(0));

    node.unblock_publishers().await.expect("the broker takes orders");
    eventually(Duration::from_secs(10), "orders is connected again", async || {
        let observed = Actors::of(&system.orders).await.observed("broker");
        if observed["link"] == "connected" { Ok(()) } else { Err(observed.to_string()) }
    })
    .await;
    what_waited_leaves_at_once(&system).await;
    shoppers.wait_placed(20).await;
    let ledger = shoppers.go_home().await;

    ledger.print("blocked");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    assert_eq!(Actors::of(&system.orders).await.generation("broker"), generation);
    assert_eq!(order_count(&system, "u1").await, WAITING);
    system.finish().await;
}

/// No event waits for a backoff of its own once the broker takes messages again: that would be up to 5 s. And meanwhile the
/// relay has asked now and then, rather than with everything that waits again and again.
async fn what_waited_leaves_at_once(system: &System) {
    let told = eventually(Duration::from_secs(10), "the block is over, and drained", async || {
        let timeline = Actors::of(&system.orders).await.timeline("broker");
        let blocked = timeline.into_iter().find(|entry| entry["kind"] == "blocked");
        blocked.filter(|entry| entry["drainedMs"].is_u64()).ok_or_else(|| "it is not told".to_owned())
    })
    .await;
    note!("orders: {told}");
    let [blocked_for, waited, drained] = ["durationMs", "waited", "drainedMs"].map(|key| told[key].as_u64());
    assert!(waited > Some(0), "{told}");
    assert!(drained < Some(2_500), "{told}");

    let metrics = system.orders.http.get("/metrics").await.expect(200).text();
    let line =
        metrics.lines().find(|line| line.starts_with("orders_relay_events_total{outcome=\"not_sent\"}"));
    let not_sent: u64 = line.and_then(|line| line.rsplit(' ').next()?.parse().ok()).expect("it is counted");
    let asked = blocked_for.expect("a number") / 50 + 4 * 256;
    assert!(not_sent <= asked, "{not_sent} were not sent, where {asked} are asked at most");
}

fn order_created(user: &str) -> Message {
    let order = json!({ "id": Uuid::now_v7(), "userId": user, "items": ["book"], "status": "created" });
    Message::event("order.created", &order).id(&Uuid::now_v7().to_string())
}

fn services(system: &System) -> [&Child; 2] {
    [&system.users, &system.orders]
}

warren::stories! {
    on both brokers:
        a_stopped_broker_is_noticed_by_its_silence_and_orders_go_on,
        a_blocked_publisher_keeps_its_link_while_orders_and_consumers_go_on;
}
