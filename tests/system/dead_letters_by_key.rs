//! An operator deals with one dead letter and leaves the others alone, over HTTP on the gateway's admin port and by
//! `warren dead-letters`.

use std::process::Output;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use warren::harness::{System, eventually};
use warren::service::Service;

use crate::support::{Amqp, Message, dead_letters, problem, succeed, system};

const DEAD: &str = "events.dead";

/// A system without the demo user, with a letter of an order for it, a letter without an id that is no JSON, and one of
/// bytes that are no text.
async fn three_letters() -> (System, Amqp) {
    let setup = system().env(Service::Users, "DEMO_DATA", "false");
    let system = setup.env_of_all("BROKER_RETRY_DELAYS_MS", "100").start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    let order = json!({ "id": "o1", "userId": "u1", "items": ["book"], "status": "created" });
    let order = Message::event("order.created", &order).id("event-1").with_header("x-tenant", "t1");
    let bytes = Message::raw("order.created", vec![0xff; 20_000]).id("event-2");
    amqp.publish_all(&[order, Message::raw("order.created", "nonsense"), bytes]).await;
    amqp.wait_depth(DEAD, 3).await;
    (system, amqp)
}

async fn ada_registers(system: &System) {
    assert!(system.users.terminate().await.success());
    system.users.set_env("DEMO_DATA", "true");
    system.users.restart().await;
}

async fn wait_order_count(system: &System, expected: u64) {
    eventually(Duration::from_secs(10), &format!("Ada has {expected} orders"), async || {
        let user = system.api.get("/api/users/u1").await.expect(200).json();
        if user["orderCount"] == expected { Ok(()) } else { Err(user) }
    })
    .await;
}

/// The letters that the admin port lists.
async fn listed(system: &System) -> Vec<Value> {
    let list = system.gateway.internal.get("/dead-letters").await.expect(200).json();
    assert_eq!(list["more"], false, "{list}");
    list["items"].as_array().unwrap_or_else(|| panic!("no items in {list}")).clone()
}

fn with_reason<'a>(letters: &'a [Value], reason: &str) -> &'a Value {
    let found = letters.iter().find(|letter| letter["reason"].as_str().is_some_and(|it| it.contains(reason)));
    found.unwrap_or_else(|| panic!("no letter says {reason:?}: {letters:?}"))
}

async fn one_letter_is_replayed_another_discarded_and_the_third_left_over_http() {
    let (system, amqp) = three_letters().await;
    let admin = &system.gateway.internal;

    let letters = listed(&system).await;
    assert_eq!(letters.len(), 3, "{letters:?}");
    let order = with_reason(&letters, "no such user");
    assert_eq!((&order["id"], &order["queue"]), (&json!("event-1"), &json!("users.order-created")));
    assert_eq!((&order["routingKey"], &order["attempts"]), (&json!("order.created"), &json!(2)));
    assert_eq!(order["headers"]["x-tenant"], "t1");
    assert!(order["failedAt"].as_str().is_some_and(|at| at.ends_with('Z')), "{order}");
    assert!(order["body"].as_str().is_some_and(|body| body.contains("u1")), "{order}");
    let (nonsense, bytes) = match letters.iter().find(|letter| letter["body"] == "nonsense") {
        Some(nonsense) => (nonsense, with_id(&letters, "event-2")),
        None => panic!("no nonsense in {letters:?}"),
    };
    assert_eq!(nonsense["bodyBytes"], 8);
    known_to_the_ledger(&system, nonsense["id"].as_str().expect("an id, although nobody gave one")).await;
    assert_eq!((&bytes["body"], &bytes["bodyBytes"]), (&Value::Null, &json!(20_000)));
    assert!(bytes["bodyBase64"].as_str().is_some_and(|body| body.starts_with("////")), "{bytes}");
    assert_eq!(listed(&system).await, letters, "looking changes nothing");
    let first = admin.get("/dead-letters?limit=1").await.expect(200).json();
    assert_eq!((&first["items"], &first["more"]), (&json!([letters[0]]), &json!(true)));
    for limit in ["0", "501", "-1", "many"] {
        problem(&admin.get(&format!("/dead-letters?limit={limit}")).await, 400, "invalid limit");
    }

    let of = |letter: &Value| format!("/dead-letters/{}", letter["key"].as_str().expect("a key"));
    let sure = json!({ "confirm": true });
    let unconfirmed = [
        admin.post("/dead-letters/replay"),
        admin.post(&format!("{}/replay", of(order))).json(&json!({ "confirm": false })),
        admin.call(Method::DELETE, &of(nonsense)),
    ];
    for call in unconfirmed {
        problem(&call.await, 409, "confirmation missing");
    }
    problem(&admin.post("/dead-letters/replay").body("nonsense").await, 400, "invalid body");
    assert_eq!(listed(&system).await, letters, "nothing was meant");

    admin.call(Method::DELETE, &of(nonsense)).json(&sure).await.expect(204);
    problem(&admin.call(Method::DELETE, &of(nonsense)).json(&sure).await, 404, "dead letter not found");
    let nobody = admin.post("/dead-letters/0123456789abcdef/replay").json(&sure).await;
    problem(&nobody, 404, "dead letter not found");
    let left = listed(&system).await;
    assert_eq!(left.len(), 2, "{left:?}");
    assert!(left.contains(order) && left.contains(bytes), "{left:?}");

    ada_registers(&system).await;
    let replayed = admin.post(&format!("{}/replay", of(order))).json(&sure).await.expect(200).json();
    assert_eq!(replayed, json!({ "replayed": 1, "left": 1 }));
    wait_order_count(&system, 1).await;
    assert_eq!(listed(&system).await, std::slice::from_ref(bytes));

    // What is no order dies again, as another letter, which somebody else takes meanwhile.
    let again = admin.post("/dead-letters/replay").header("x-confirm", "true").await.expect(200).json();
    assert_eq!(again, json!({ "replayed": 1, "left": 0 }));
    amqp.wait_depth(DEAD, 1).await;
    let died_again = listed(&system).await;
    assert_ne!(died_again[0]["key"], bytes["key"]);
    problem(&admin.call(Method::DELETE, &of(bytes)).json(&sure).await, 404, "dead letter not found");
    assert!(amqp.take(DEAD).await.is_some());
    problem(&admin.call(Method::DELETE, &of(&died_again[0])).json(&sure).await, 404, "dead letter not found");
    wait_order_count(&system, 1).await;
    system.finish().await;
}

fn with_id<'a>(letters: &'a [Value], id: &str) -> &'a Value {
    letters.iter().find(|letter| letter["id"] == id).unwrap_or_else(|| panic!("no {id} in {letters:?}"))
}

/// Its consumer has written down under the same id that it gave the event up.
async fn known_to_the_ledger(system: &System, id: &str) {
    eventually(Duration::from_secs(10), &format!("the ledger knows {id}"), async || {
        let found = system.gateway.internal.get(&format!("/console/ledger?q={id}")).await.expect(200).json();
        if found.to_string().contains("not JSON") { Ok(()) } else { Err(found) }
    })
    .await;
}

/// What operators have changed, the latest first, by the gateway's timeline.
async fn recorded(system: &System) -> Vec<String> {
    let page = system.gateway.internal.get("/timeline").await.expect(200).json();
    let entries = page["items"].as_array().unwrap_or_else(|| panic!("no items in {page}"));
    let operators = entries.iter().filter(|entry| entry["kind"] == "operator");
    operators.map(|entry| format!("{}: {}", entry["subject"], entry["cause"]).replace('"', "")).collect()
}

async fn one_letter_is_replayed_another_discarded_and_the_third_left_by_command() {
    let (system, _amqp) = three_letters().await;
    let run = async |arguments: &[&str]| dead_letters(arguments, system.gateway.internal.base()).await;
    let listed = succeed(run(&["list"]).await);
    let key_of = |what: &str| {
        let block = listed.split("\n\n").find(|block| block.contains(what)).expect("it is listed");
        let key = block.lines().find_map(|line| line.strip_prefix("key ")).expect("it has a key");
        key.trim().to_owned()
    };
    let (order, nonsense) = (key_of("event-1"), key_of("not JSON"));
    assert!(listed.contains(r#""x-tenant":"t1""#), "{listed}");

    for unsure in [
        &["replay"][..],
        &["replay", "users.order-created"],
        &["replay", "--key", &order],
        &["discard", "--key", &nonsense],
    ] {
        let Output { status, stderr, .. } = run(unsure).await;
        assert_eq!(status.code(), Some(1), "{unsure:?}");
        assert!(String::from_utf8_lossy(&stderr).contains("--yes"), "{unsure:?}");
    }
    assert_eq!(succeed(run(&["list"]).await), listed, "nothing was meant");
    assert_eq!(recorded(&system).await, [""; 0], "nothing was changed");

    assert_eq!(succeed(run(&["discard", "--key", &nonsense, "--yes"]).await), "discarded 1\n");
    let discarded = format!("dead-letters: discarded dead letter {nonsense}, 2 left");
    assert_eq!(recorded(&system).await, [discarded.as_str()]);
    for gone in [&["discard", "--yes", "--key", &nonsense], &["replay", "--yes", "--key", &nonsense]] {
        let Output { status, stderr, .. } = run(gone).await;
        assert_eq!(status.code(), Some(1), "{gone:?}");
        assert!(String::from_utf8_lossy(&stderr).contains("no dead letter has the key"), "{gone:?}");
    }
    ada_registers(&system).await;
    assert_eq!(succeed(run(&["replay", "--key", &order, "--yes"]).await), "replayed 1, left 1\n");
    let replayed = format!("dead-letters: replayed dead letter {order}, 1 left");
    assert_eq!(recorded(&system).await, [replayed, discarded], "each once, what found nothing never");
    wait_order_count(&system, 1).await;
    let left = succeed(run(&["list"]).await);
    assert!(left.contains("event-2") && !left.contains("event-1"), "{left}");

    let last = left.lines().find_map(|line| line.strip_prefix("key ")).expect("it has a key").trim();
    assert_eq!(succeed(run(&["discard", "--key", last, "--yes"]).await), "discarded 1\n");
    system.finish().await;
}

async fn while_the_broker_is_away_the_admin_port_says_so() {
    let system = system().without_broker().start().await;
    let admin = &system.gateway.internal;

    for call in [
        admin.get("/dead-letters"),
        admin.post("/dead-letters/replay").json(&json!({ "confirm": true })),
        admin.call(Method::DELETE, "/dead-letters/0123456789abcdef").json(&json!({ "confirm": true })),
    ] {
        let away = problem(&call.await, 503, "broker away");
        assert!(
            away["detail"].as_str().is_some_and(|it| it.contains("cannot connect to 127.0.0.1:")),
            "{away}"
        );
    }
    problem(&system.api.get("/dead-letters").await, 404, "not found");
    system.expect_no_broker();
    system.finish().await;
}

warren::stories! {
    on both brokers:
        one_letter_is_replayed_another_discarded_and_the_third_left_over_http,
        one_letter_is_replayed_another_discarded_and_the_third_left_by_command;
    without a broker:
        while_the_broker_is_away_the_admin_port_says_so;
}
