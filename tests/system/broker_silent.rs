//! The broker is there and says nothing: stopped by SIGSTOP, or short of memory and blocking whoever publishes.

use std::time::{Duration, Instant};

use serde_json::json;
use uuid::Uuid;
use warren::harness::{Child, Folder, System, eventually, eventually_equal, private_node};
use warren::note;

use crate::support::{
    Actors, Amqp, Door, Habits, Message, Published, Shoppers, order_count, seeded, start_services, system,
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
    let warm = services(&system).map(Child::threads);

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
    assert!(continued.elapsed() < Duration::from_secs(5), "{:?}", continued.elapsed());
    shoppers.wait_placed(50).await;
    let ledger = shoppers.go_home().await;

    ledger.print("broker stopped");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    assert_eq!(services(&system).map(Child::pid), pids);
    for (child, warm) in services(&system).into_iter().zip(warm) {
        eventually(
            Duration::from_secs(20),
            &format!("{}: {warm} threads again", child.service()),
            async || {
                let now = child.threads();
                if now <= warm { Ok(()) } else { Err(now.to_string()) }
            },
        )
        .await;
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
    shoppers.wait_placed(20).await;
    let ledger = shoppers.go_home().await;

    ledger.print("blocked");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    assert_eq!(Actors::of(&system.orders).await.generation("broker"), generation);
    assert_eq!(order_count(&system, "u1").await, WAITING);
    system.finish().await;
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
