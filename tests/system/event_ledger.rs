//! Each event can be followed from the request that caused it to its effect, whichever service one asks about which id.

use std::time::Duration;

use serde_json::{Value, json};
use warren::harness::{Child, Folder, System, eventually, private_node};

use crate::support::{problem, queues_are_registered, system};

const SOON: Duration = Duration::from_secs(20);

async fn an_order_is_followed_from_its_request_to_its_effect() {
    let system = system().start().await;
    let id = place(&system, "order-7").await;

    let begun = way(&system.orders, "order-7", "confirmed").await;
    let event = begun["id"].as_str().expect("an id").to_owned();
    let ended = way(&system.users, &event, "acked").await;

    assert_eq!(steps(&begun), ["accepted", "committed", "published", "confirmed"]);
    assert_eq!(steps(&ended), ["delivered", "applied", "acked"]);
    assert_eq!((&begun["type"], &begun["about"]), (&json!("order.created"), &json!([id, "u1"])));
    assert_eq!(ended["steps"][0]["queue"], "users.order-created");
    assert_eq!(ended["steps"][0]["pid"], system.users.pid());
    let instants = [&begun, &ended].map(|way| times(way));
    assert!(instants.iter().all(|times| times.is_sorted()), "{begun} {ended}");
    for about in [id.as_str(), "u1", &event, begun["traceId"].as_str().expect("a trace")] {
        assert_eq!(way(&system.orders, about, "confirmed").await, begun, "about {about}");
    }
    system.finish().await;
}

async fn the_gateway_tells_the_whole_way_of_an_order_whichever_id_it_is_asked_about() {
    let system = system().start().await;
    let admin = &system.gateway.internal;
    let order = json!({ "userId": "u1", "items": ["book"] });
    let placed = system.api.post("/api/orders").json(&order).await.expect(201);
    let (order, request) =
        (placed.json()["id"].clone(), placed.header("x-request-id").expect("an id").to_owned());
    let order = order.as_str().expect("a text").to_owned();

    let followed = async |id: &str| {
        let ledger = admin.get(&format!("/console/ledger?q={id}")).await.expect(200).json();
        assert_eq!(ledger["silent"], json!([]), "{ledger}");
        let events = ledger["events"].as_array().expect("a list");
        let event = events.iter().find(|event| event["type"] == "order.created").ok_or("no event")?;
        let steps: Vec<(String, String)> = event["steps"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|step| (step["service"].to_string(), step["step"].to_string()))
            .map(|(service, step)| (service.replace('"', ""), step.replace('"', "")))
            .collect();
        let has = |service: &str, step: &str| steps.iter().any(|(s, t)| s == service && t == step);
        let way =
            [("orders", "committed"), ("orders", "confirmed"), ("users", "applied"), ("users", "acked")];
        match way.iter().find(|(service, step)| !has(service, step)) {
            None => Ok::<_, String>((event["id"].as_str().expect("an id").to_owned(), steps)),
            Some(missing) => Err(format!("no {missing:?} in {steps:?}")),
        }
    };
    let (event, steps) = eventually(SOON, "its way is written down", async || followed(&order).await).await;
    let place = |wanted: &str| steps.iter().position(|(_, step)| step == wanted);
    assert!(place("committed") < place("applied") && place("applied") < place("acked"), "{steps:?}");
    for id in [event.as_str(), &request] {
        assert_eq!(followed(id).await, Ok((event.clone(), steps.clone())), "by {id}");
    }

    let nothing = admin.get("/console/ledger?q=no-such-thing").await.expect(200).json();
    assert_eq!(nothing, json!({ "events": [], "silent": [] }));
    for wrong in ["/console/ledger?q=", "/console/ledger?q=x&limit=0", "/console/timeline?limit=many"] {
        problem(&admin.get(wrong).await, 400, "invalid query");
    }
    system.finish().await;
}

async fn what_a_killed_process_had_committed_is_told_by_the_next_one_and_each_attempt_is_a_step() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = system().broker(node.url("/")).start().await;
    queues_are_registered(&folder).await;
    node.kill9();
    // Refused by nobody: it waits in the outbox.
    let id = place(&system, "order-8").await;
    system.orders.kill9();
    node.start().await.expect("it starts on the same port and data");
    system.orders.restart().await;

    let way = way(&system.orders, &id, "confirmed").await;

    assert_eq!(steps(&way).first().map(String::as_str), Some("accepted"), "{way}");
    assert_eq!(steps(&way).iter().filter(|step| *step == "committed").count(), 1, "{way}");
    let last = way["steps"].as_array().and_then(|steps| steps.last()).expect("a step");
    assert_eq!(
        last["pid"],
        system.orders.pid(),
        "confirmed to another process than the one that accepted it"
    );
    system.finish().await;
}

async fn questions_that_cannot_be_answered_are_refused_with_what_is_wrong() {
    let system = system().without_broker().prepare().await;
    system.orders.start();
    system.orders.wait_ready().await;

    for query in
        ["", "?limit=3", "?about=", "?about=x&limit=all", "?abuot=x", &format!("?{}", "about=x&".repeat(301))]
    {
        problem(&system.orders.internal.get(&format!("/ledger{query}")).await, 400, "invalid query");
    }
    let nothing = system.orders.internal.get("/ledger?about=nobody").await.expect(200).json();
    assert_eq!(nothing, json!({ "events": [] }));
    system.expect_no_broker();
    system.finish().await;
}

async fn place(system: &System, request: &str) -> String {
    let order = json!({ "userId": "u1", "items": ["book"] });
    let call = system.api.post("/api/orders").json(&order).header("x-request-id", request);
    let placed = call.await.expect(201).json();
    placed["id"].as_str().expect("an id").to_owned()
}

/// The one event about `about`, once it has come as far as `step`.
async fn way(child: &Child, about: &str, step: &str) -> Value {
    let what = format!("{} tells of {about}: {step}", child.service());
    eventually(SOON, &what, async || {
        let found = child.internal.get(&format!("/ledger?about={about}")).await.expect(200).json();
        let events = found["events"].as_array().expect("a list");
        match events.as_slice() {
            [event] if steps(event).iter().any(|told| told == step) => Ok(event.clone()),
            _ => Err(found.to_string()),
        }
    })
    .await
}

fn steps(event: &Value) -> Vec<String> {
    let steps = event["steps"].as_array().expect("a list");
    steps.iter().filter_map(|step| step["step"].as_str().map(str::to_owned)).collect()
}

fn times(event: &Value) -> Vec<&str> {
    event["steps"].as_array().expect("a list").iter().filter_map(|step| step["at"].as_str()).collect()
}

warren::stories! {
    on both brokers:
        an_order_is_followed_from_its_request_to_its_effect,
        what_a_killed_process_had_committed_is_told_by_the_next_one_and_each_attempt_is_a_step;
    on the embedded broker:
        the_gateway_tells_the_whole_way_of_an_order_whichever_id_it_is_asked_about;
    without a broker:
        questions_that_cannot_be_answered_are_refused_with_what_is_wrong;
}
