//! Bad events go to the dead letters, and the good ones around them are applied.

use std::time::{Duration, Instant};

use common::broker::{BrokerConfig, DeadLetters, Replayed};
use lapin::types::{AMQPValue, FieldArray, FieldTable};
use serde_json::{Value, json};
use warren::harness::{Setup, System, eventually};
use warren::note;
use warren::service::Service;

use crate::support::{Amqp, Message, Published, system};

const ORDERS: &str = "users.order-created";
const USERS: &str = "orders.user-created";
const DEAD: &str = "events.dead";

/// A bad event and what its dead letter says.
struct Poison {
    what: &'static str,
    message: Message,
    reason: &'static str,
    queue: &'static str,
}

fn order(id: &str) -> Message {
    Message::event(
        "order.created",
        &json!({ "id": id, "userId": "u1", "items": ["book"], "status": "created" }),
    )
}

fn poisons() -> Vec<Poison> {
    let raw = |what, body: Vec<u8>, reason| Poison {
        what,
        message: Message::raw("order.created", body),
        reason,
        queue: ORDERS,
    };
    let shape = |what, body: Value, reason| raw(what, body.to_string().into_bytes(), reason);
    let typed = |what, kind: &str, reason| {
        let mut message = order(what);
        message.properties = message.properties.with_type(kind.into());
        Poison { what, message, reason, queue: ORDERS }
    };
    let mut large = json!({ "id": "large", "userId": "u1" }).to_string().into_bytes();
    large.resize(1024 * 1024 + 1, b' ');

    vec![
        raw("not JSON", b"nonsense".to_vec(), "not JSON"),
        raw("half of a JSON", br#"{"id":"o1","userId":"#.to_vec(), "not JSON"),
        raw("more than one JSON", br#"{"id":"o1","userId":"u1"}{}"#.to_vec(), "not JSON"),
        raw("an empty body", Vec::new(), "not JSON"),
        raw("invalid UTF-8", b"{\"id\":\"o\xff\",\"userId\":\"u1\"}".to_vec(), "not JSON"),
        raw("zeros", vec![0; 64], "not JSON"),
        raw("depth", b"[".repeat(100_000), "wrong shape"),
        raw("over 1 MiB", large, "larger than 1048576"),
        shape("null", json!(null), "wrong shape"),
        shape("an array", json!([1, 2, 3]), "wrong shape"),
        shape("a text", json!("order"), "wrong shape"),
        shape("missing fields", json!({ "id": "o1" }), "missing field `userId`"),
        shape("wrong field types", json!({ "id": "o1", "userId": 7 }), "wrong shape"),
        shape(
            "a time that is none",
            json!({ "id": "o1", "userId": "u1", "createdAt": "soon" }),
            "wrong shape",
        ),
        typed("an unknown type", "order.teleported", "unknown type"),
        typed("the type of another event", "user.created", "unknown type"),
        Poison {
            what: "a user without a name",
            message: Message::event("user.created", &json!({ "id": "u1" })),
            reason: "missing field `name`",
            queue: USERS,
        },
        Poison {
            what: "an order that was cancelled by nobody",
            message: Message::event("order.cancelled", &json!({ "id": "o1", "userId": null })),
            reason: "wrong shape",
            queue: "users.order-cancelled",
        },
        Poison {
            what: "absurd headers",
            message: absurd(Message::raw("order.created", "nonsense")),
            reason: "not JSON",
            queue: ORDERS,
        },
    ]
}

/// Headers that have the right names and nothing else right.
fn absurd(mut message: Message) -> Message {
    let mut deep = FieldTable::default();
    for _ in 0..50 {
        let mut outer = FieldTable::default();
        outer.insert("in".into(), AMQPValue::FieldTable(deep));
        deep = outer;
    }
    let mut headers = FieldTable::default();
    let mut header = |name: &str, value| {
        headers.insert(name.into(), value);
    };
    header("traceparent", AMQPValue::LongLongInt(-1));
    header("x-request-id", AMQPValue::LongString("two words\r\nand a line".into()));
    header("x-time", AMQPValue::LongString("yesterday".into()));
    header("x-attempt", AMQPValue::LongLongInt(i64::MAX));
    header("x-attempts", AMQPValue::LongString("many".into()));
    header("x-reason", AMQPValue::Void);
    header("x-routing-key", AMQPValue::LongString("nowhere".into()));
    header("x-queue", AMQPValue::LongString("elsewhere".into()));
    header("x-death", AMQPValue::FieldArray(FieldArray::default()));
    header("x-delivery-count", AMQPValue::LongLongInt(1_000_000));
    header("deep", AMQPValue::FieldTable(deep));
    header("long", AMQPValue::LongString("x".repeat(10_000).into()));
    message.properties = message
        .properties
        .with_headers(headers)
        .with_timestamp(u64::MAX)
        .with_priority(255)
        .with_content_type("text/plain".into())
        .with_content_encoding("gzip".into())
        .with_reply_to("nobody".into())
        .with_app_id("\u{1F41D}".into());
    message
}

async fn poison_of_every_kind_goes_to_the_dead_letters_at_once_and_the_good_events_flow_on() {
    let system = system().start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    let poisons = poisons();
    let mut events = vec![order("good 0")];
    for (number, poison) in poisons.iter().enumerate() {
        events.push(poison.message.clone().with_header("what", poison.what));
        events.push(order(&format!("good {}", number + 1)));
    }
    // A good event in absurd headers is a good event.
    events.push(absurd(order("in absurd headers")));
    let good = poisons.len() + 2;

    let published = Instant::now();
    assert!(amqp.publish_all(&events).await.iter().all(|published| *published == Published::Routed));
    wait_order_count(&system, good as u64).await;
    amqp.wait_depth(DEAD, poisons.len() as u32).await;
    // The first delayed retry would take a second alone.
    note!("{good} good and {} bad events in {:?}", poisons.len(), published.elapsed());

    let dead = amqp.take_many(DEAD, poisons.len()).await;
    for Poison { what, message, reason, queue } in &poisons {
        let letter = dead.iter().find(|letter| letter.header("what").as_deref() == Some(*what));
        let letter = letter.unwrap_or_else(|| panic!("no dead letter of {what}: {dead:?}"));
        assert_eq!(letter.body, message.body, "the body of {what}");
        assert_eq!(letter.routing_key, message.routing_key, "{what}");
        let said = letter.header("x-reason").unwrap_or_default();
        assert!(said.contains(reason), "{what}: {said:?} instead of {reason:?}");
        assert_eq!(letter.header("x-attempts").as_deref(), Some("1"), "{what}");
        assert_eq!(letter.header("x-queue").as_deref(), Some(*queue), "{what}");
        assert_eq!(letter.properties.kind(), message.properties.kind(), "{what}");
        assert_eq!(letter.properties.content_type(), message.properties.content_type(), "{what}");
        assert!(letter.header("x-failed-at").is_some(), "{what}");
    }
    for child in [&system.users, &system.orders] {
        assert_eq!(child.actors().await["timeline"], json!([]), "{} restarted an actor", child.service());
        child.wait_not_degraded().await;
    }
    wait_order_count(&system, good as u64).await;
    system.finish().await;
}

async fn an_event_for_an_unknown_user_dies_after_its_retries_and_is_applied_once_when_replayed() {
    let system = without_ada(system()).env_of_all("BROKER_RETRY_DELAYS_MS", "100,200").start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    let event = order("o1").id("event-1").with_header("x-tenant", "t1");

    let published = Instant::now();
    amqp.publish(&event).await;
    amqp.publish(&order("o2")).await;
    amqp.wait_depth(DEAD, 2).await;
    let took = published.elapsed();
    assert!(took >= Duration::from_millis(300), "dead after {took:?}, without its delays");

    let operator = DeadLetters::new(BrokerConfig::for_url(&system.amqp_url).expect("a sound address"));
    let listed = operator.list(10).await.expect("the broker is there");
    assert_eq!(operator.list(1).await.expect("the broker is there").len(), 1);
    assert_eq!(listed.len(), 2);
    let letter = listed.iter().find(|letter| letter.id.as_str() == "event-1").expect("it is listed");
    assert_eq!(letter.attempts, Some(3), "one at first and one after each delay");
    assert_eq!((letter.routing_key.as_str(), letter.queue.as_deref()), ("order.created", Some(ORDERS)));
    assert!(letter.reason.as_deref().is_some_and(|reason| reason.contains("no such user")), "{letter:?}");
    assert!(letter.failed_at.is_some(), "{letter:?}");
    assert_eq!(letter.body, event.body);

    let of_another_queue = operator.replay(Some(USERS)).await.expect("the broker is there");
    assert_eq!(of_another_queue, Replayed { replayed: 0, left: 2 });
    let too_early = operator.replay(None).await.expect("the broker is there");
    assert_eq!(too_early, Replayed { replayed: 2, left: 0 });
    amqp.wait_depth(DEAD, 2).await;

    ada_registers(&system).await;
    let replayed = operator.replay(Some(ORDERS)).await.expect("the broker is there");
    assert_eq!(replayed, Replayed { replayed: 2, left: 0 });
    wait_order_count(&system, 2).await;
    assert_eq!(operator.replay(None).await.expect("the broker is there"), Replayed::default());
    // The same events again, as their publisher sent them, change nothing.
    amqp.publish_all(&[event, order("o2"), order("o3")]).await;
    wait_order_count(&system, 3).await;
    system.finish().await;
}

async fn an_event_whose_user_registers_meanwhile_is_applied_by_a_retry() {
    let system =
        without_ada(system()).env_of_all("BROKER_RETRY_DELAYS_MS", "300,600,1200,2400,4800").start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;

    amqp.publish(&order("o1")).await;
    eventually(Duration::from_secs(5), "the event was tried in vain", async || {
        let tried = consumer(&system, ORDERS).await["notYet"].as_u64();
        if tried >= Some(1) { Ok(()) } else { Err(format!("{tried:?}")) }
    })
    .await;
    ada_registers(&system).await;

    wait_order_count(&system, 1).await;
    assert_eq!(amqp.depth(DEAD).await, Some(0));
    system.finish().await;
}

async fn headers_of_any_size_that_the_broker_takes_harm_nobody() {
    // The largest fill a frame of 128 KiB, and leave no room for the reason of a dead letter.
    const SIZES: [usize; 5] = [20_000, 32_700, 33_000, 120_000, 131_000];
    let system = system().start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;

    for (number, size) in SIZES.into_iter().enumerate() {
        let large = "x".repeat(size);
        let events = [
            order(&format!("large {size}")).with_header("large", &large),
            Message::raw("order.created", "nonsense")
                .with_header("large", &large)
                .with_header("small", "kept"),
            order(&format!("after {size}")),
        ];
        amqp.publish_all(&events).await;

        wait_order_count(&system, 2 * number as u64 + 2).await;
        amqp.wait_depth(DEAD, number as u32 + 1).await;
        assert_eq!(system.users.actors().await["timeline"], json!([]), "headers of {size} bytes");
    }
    for letter in amqp.take_many(DEAD, SIZES.len()).await {
        assert_eq!(letter.header("small").as_deref(), Some("kept"));
        assert!(letter.header("x-reason").is_some_and(|reason| reason.contains("not JSON")));
    }

    // Past the exchange `events`, the routing key that it came with is a header, to which the broker sets no bound.
    let smuggled = Message::raw(ORDERS, "nonsense")
        .to("")
        .with_header("x-routing-key", &"k".repeat(70_000))
        .with_header("large", &"x".repeat(60_800));
    let dead = Message { exchange: DEAD.into(), ..smuggled.clone() }.with_header("x-queue", ORDERS);
    amqp.publish_all(&[smuggled, dead]).await;
    amqp.wait_depth(DEAD, 2).await;
    let operator = DeadLetters::new(BrokerConfig::for_url(&system.amqp_url).expect("a sound address"));
    let replayed = operator.replay(None).await.expect("the broker is there");
    assert_eq!(replayed, Replayed { replayed: 2, left: 0 });
    amqp.wait_depth(DEAD, 2).await;
    assert_eq!(system.users.actors().await["timeline"], json!([]), "a routing key of 70,000 bytes");
    for letter in amqp.take_many(DEAD, 2).await {
        assert!(letter.header("x-routing-key").is_some_and(|key| key.len() <= 255));
    }
    system.finish().await;
}

/// A system whose demo user does not exist until [`ada_registers`].
fn without_ada(setup: Setup) -> Setup {
    setup.env(Service::Users, "DEMO_DATA", "false")
}

async fn ada_registers(system: &System) {
    system.api.get("/api/users/u1").await.expect(404);
    assert!(system.users.terminate().await.success());
    system.users.set_env("DEMO_DATA", "true");
    system.users.restart().await;
    system.api.get("/api/users/u1").await.expect(200);
}

async fn wait_order_count(system: &System, expected: u64) {
    eventually(Duration::from_secs(10), &format!("Ada has {expected} orders"), async || {
        let user = system.api.get("/api/users/u1").await.expect(200).json();
        if user["orderCount"] == expected { Ok(()) } else { Err(user) }
    })
    .await;
}

/// What the consumer of a queue of the users service has counted.
async fn consumer(system: &System, queue: &str) -> Value {
    let report = system.users.actors().await;
    let name = format!("consumer:{queue}");
    let actors = report["actors"].as_array().unwrap_or_else(|| panic!("no actors in {report}"));
    let actor = actors.iter().find(|actor| actor["name"] == *name).unwrap_or_else(|| panic!("{report}"));
    actor["observed"].clone()
}

warren::stories! {
    on both brokers:
        poison_of_every_kind_goes_to_the_dead_letters_at_once_and_the_good_events_flow_on,
        an_event_for_an_unknown_user_dies_after_its_retries_and_is_applied_once_when_replayed,
        an_event_whose_user_registers_meanwhile_is_applied_by_a_retry,
        headers_of_any_size_that_the_broker_takes_harm_nobody;
}
