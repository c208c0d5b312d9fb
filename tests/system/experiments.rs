//! What is broken on purpose ends in a receipt that says how many orders are lost and doubled: none.

use std::time::Duration;

use serde_json::{Value, json};
use warren::harness::{System, eventually};
use warren::note;
use warren::service::Service;

use crate::support::{problem, system};

/// An experiment lasts its fault and a few seconds; a busy machine gets more.
const RECEIPT: Duration = Duration::from_secs(90);

async fn breakable() -> System {
    let system = system().env_of_all("DEMO_FAULTS", "true").start().await;
    system.gateway.wait_not_degraded().await;
    system
}

/// Begins an experiment and waits for its receipt; brings back meanwhile what was killed.
async fn receipt(system: &System, wish: Value) -> Value {
    let admin = &system.gateway.internal;
    let begun = admin.post("/experiments").json(&wish).await.expect(202).json();
    assert_eq!((&begun["kind"], &begun["phase"]), (&wish["kind"], &json!("loading")), "{begun}");
    let another = json!({ "kind": "placeOrders" });
    problem(&admin.post("/experiments").json(&another).await, 409, "experiment running");
    let receipt = eventually(RECEIPT, "the receipt", async || {
        for child in [&system.users, &system.orders] {
            if !child.is_running() {
                child.start();
            }
        }
        let known = admin.get("/experiments").await.expect(200).json();
        let receipt = known["receipts"][0].clone();
        if receipt["number"] == begun["number"] { Ok(receipt) } else { Err(known["running"].clone()) }
    })
    .await;
    note!("{receipt}");
    for same in ["kind", "title", "startedAt"] {
        assert_eq!(receipt[same], begun[same]);
    }
    receipt
}

fn clear(receipt: &Value) {
    assert_eq!(receipt["verdict"], "clear", "{receipt}");
    assert_eq!((&receipt["lost"], &receipt["doubled"]), (&json!(0), &json!(0)), "{receipt}");
    assert!(receipt["accepted"].as_u64() > Some(0), "{receipt}");
    assert!(receipt["drainedMs"].is_u64(), "{receipt}");
}

fn number(receipt: &Value, name: &str) -> u64 {
    receipt[name].as_u64().unwrap_or_else(|| panic!("no {name} in {receipt}"))
}

async fn a_broken_link_makes_events_wait_and_loses_none() {
    let system = breakable().await;

    for kind in ["cutLink", "blockLink"] {
        let receipt = receipt(&system, json!({ "kind": kind, "service": "orders", "ms": 1500 })).await;
        clear(&receipt);
        assert!(number(&receipt, "faultMs") >= 1500, "{receipt}");
        assert!(receipt["recoveredMs"].is_u64(), "{receipt}");
        assert!(number(&receipt, "waited") > 10, "{receipt}");
    }
    let consuming = receipt(&system, json!({ "kind": "cutLink", "service": "users", "ms": 500 })).await;
    clear(&consuming);

    let timeline = system.gateway.internal.get("/timeline").await.expect(200).json();
    let begun = timeline["items"].as_array().expect("items").iter().filter(|item| item["kind"] == "operator");
    assert_eq!(begun.count(), 3, "{timeline}");
    system.finish().await;
}

async fn a_crashed_actor_and_a_stalled_service_lose_nothing() {
    let system = breakable().await;

    for (service, actor) in [("users", "repository"), ("orders", "repository"), ("orders", "relay")] {
        let wish = json!({ "kind": "crashActor", "service": service, "actor": actor });
        let receipt = receipt(&system, wish).await;
        clear(&receipt);
        assert_eq!(receipt["title"], format!("Crash {actor} of {service}"));
        assert!(receipt["recoveredMs"].is_u64(), "{receipt}");
    }
    let stalled = receipt(&system, json!({ "kind": "stallService", "service": "users", "ms": 1500 })).await;
    clear(&stalled);
    system.finish().await;
}

async fn a_wish_that_says_something_wrong_is_told_what_it_may_say() {
    let system = breakable().await;
    let admin = &system.gateway.internal;
    for (wish, why) in [
        (json!({ "kind": "crashActor", "service": "users", "actr": "relay" }), "\"actr\" means nothing"),
        (json!({ "kind": "cutLink", "service": "users", "orders": 5 }), "takes service and ms"),
        (json!({ "kind": "flood" }), "kind must be one of crashActor, cutLink"),
        (json!({ "kind": "cutLink" }), "service must be one of users, orders"),
        (json!({ "kind": "cutLink", "service": "mail" }), "service must be one of users, orders"),
        (
            json!({ "kind": "cutLink", "service": "orders", "ms": 60_001 }),
            "ms must be a number from 1 to 60000",
        ),
        (
            json!({ "kind": "cutLink", "service": "orders", "ms": "5 s" }),
            "ms must be a number from 1 to 60000",
        ),
        (json!({ "kind": "placeOrders", "orders": 0 }), "orders must be a number from 1 to 10000"),
        (
            json!({ "kind": "crashActor", "service": "users", "actor": "janitor" }),
            "passwords, relay, repository",
        ),
    ] {
        let refused = admin.post("/experiments").json(&wish).await;
        problem(&refused, 400, "invalid experiment");
        let said = refused.json()["detail"].as_str().unwrap_or_default().to_owned();
        assert!(said.contains(why), "{wish}: {said}");
    }

    system.users.kill9();
    let wish = json!({ "kind": "crashActor", "service": "users", "actor": "relay" });
    let refused = admin.post("/experiments").json(&wish).await;
    problem(&refused, 409, "experiment unavailable");
    assert!(refused.text().contains("users does not answer; it is possible on orders"), "{refused}");
    system.users.restart().await;
    let known = admin.get("/experiments").await.expect(200).json();
    assert_eq!((&known["running"], &known["receipts"]), (&Value::Null, &json!([])), "none was begun");
    system.finish().await;
}

async fn a_killed_process_loses_nothing_where_somebody_starts_it_again() {
    let setup = system().env_of_all("DEMO_FAULTS", "true").env_of_all("WARREN_KEEPER", "this test");
    let system = setup.start().await;
    system.gateway.wait_not_degraded().await;

    for service in ["orders", "users"] {
        let before = system.child(if service == "users" { Service::Users } else { Service::Orders }).pid();
        let receipt = receipt(&system, json!({ "kind": "killProcess", "service": service })).await;
        clear(&receipt);
        let after = system.child(if service == "users" { Service::Users } else { Service::Orders }).pid();
        assert_ne!(before, after, "{service} was killed");
    }
    system.finish().await;
}

async fn many_orders_at_once_are_all_there() {
    let system = breakable().await;

    let receipt = receipt(&system, json!({ "kind": "placeOrders", "orders": 500 })).await;

    clear(&receipt);
    assert_eq!((number(&receipt, "accepted"), number(&receipt, "refused")), (500, 0), "{receipt}");
    assert_eq!((&receipt["faultMs"], &receipt["recoveredMs"]), (&json!(0), &Value::Null));
    system.finish().await;
}

async fn what_cannot_be_made_is_offered_with_a_reason_and_refused() {
    let setup =
        system().env(Service::Gateway, "DEMO_FAULTS", "true").env(Service::Orders, "DEMO_FAULTS", "true");
    let system = setup.start().await;
    let admin = &system.gateway.internal;
    let known = admin.get("/experiments").await.expect(200).json();
    let offer = |known: &Value, kind: &str| {
        let kinds = known["kinds"].as_array().unwrap_or_else(|| panic!("no kinds in {known}"));
        kinds.iter().find(|offer| offer["kind"] == kind).unwrap_or_else(|| panic!("no {kind}")).clone()
    };

    let cut = offer(&known, "cutLink");
    assert_eq!((&cut["services"], &cut["available"]), (&json!(["orders"]), &json!(true)), "{cut}");
    let kill = offer(&known, "killProcess");
    assert_eq!((&kill["services"], &kill["available"]), (&json!([]), &json!(false)), "{kill}");
    assert!(kill["why"].as_str().is_some_and(|why| why.contains("start a killed process again")), "{kill}");
    assert_eq!((&known["running"], &known["receipts"]), (&Value::Null, &json!([])));
    for wish in [
        json!({ "kind": "killProcess", "service": "orders" }),
        json!({ "kind": "cutLink", "service": "users" }),
    ] {
        problem(&admin.post("/experiments").json(&wish).await, 409, "experiment unavailable");
    }
    problem(&system.api.get("/experiments").await, 404, "not found");

    assert!(system.gateway.terminate().await.success());
    system.gateway.set_env("AUTH", "required");
    system.gateway.restart().await;
    let known = admin.get("/experiments").await.expect(200).json();
    for offer in known["kinds"].as_array().expect("kinds") {
        assert_eq!(offer["available"], false, "{offer}");
        assert!(offer["why"].as_str().is_some_and(|why| why.contains("AUTH=open")), "{offer}");
    }
    let refused = admin.post("/experiments").json(&json!({ "kind": "placeOrders" })).await;
    problem(&refused, 409, "experiment unavailable");
    system.finish().await;
}

async fn without_demo_faults_there_are_no_experiments() {
    let system = system().start().await;
    let admin = &system.gateway.internal;

    problem(&admin.get("/experiments").await, 404, "not found");
    problem(&admin.post("/experiments").json(&json!({ "kind": "placeOrders" })).await, 404, "not found");
    assert!(!system.gateway.actors().await.to_string().contains("laboratory"));
    system.finish().await;
}

warren::stories! {
    on both brokers:
        a_broken_link_makes_events_wait_and_loses_none;
    on the embedded broker:
        a_crashed_actor_and_a_stalled_service_lose_nothing,
        a_wish_that_says_something_wrong_is_told_what_it_may_say,
        a_killed_process_loses_nothing_where_somebody_starts_it_again,
        many_orders_at_once_are_all_there,
        what_cannot_be_made_is_offered_with_a_reason_and_refused,
        without_demo_faults_there_are_no_experiments;
}
