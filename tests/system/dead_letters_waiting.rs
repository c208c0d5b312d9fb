//! How many dead letters wait is seen by whoever looks at the console or `warren top`, or asks for the metrics.

use std::process::Stdio;
use std::time::Duration;

use http::Method;
use serde_json::Value;
use tokio::process::Command;
use warren::harness::{Folder, System, eventually, private_node};

use crate::support::{Amqp, Message, WARREN, queues_are_registered, succeed, system};

const DEAD: &str = "events.dead";

/// They are counted every 5 s, and a broker may take some seconds to come back.
const SOON: Duration = Duration::from_secs(30);

async fn how_many_dead_letters_wait_is_seen_until_none_do() {
    let system = system().start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    waiting_are(&system, 0).await;

    amqp.publish_all(&[Message::raw("order.created", "nonsense"), Message::raw("order.created", "{}")]).await;
    waiting_are(&system, 2).await;
    let shown = top(&system).await;
    assert!(shown.contains("   2 dead letters\n"), "{shown}");

    discard_one(&system).await;
    waiting_are(&system, 1).await;

    amqp.take_many(DEAD, 1).await;
    waiting_are(&system, 0).await;
    let shown = top(&system).await;
    assert!(!shown.contains("dead letter"), "{shown}");
    system.finish().await;
}

async fn a_broker_that_is_away_leaves_the_last_count_with_its_time() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = system().broker(node.url("/")).start().await;
    system.wait_broker().await;
    queues_are_registered(&folder).await;
    Amqp::connect(&system.amqp_url).await.publish(&Message::raw("order.created", "nonsense")).await;
    waiting_are(&system, 1).await;
    let admin = &system.gateway.internal;

    node.kill9();
    eventually(SOON, "the gateway cannot count", async || {
        admin.get("/console/state").await.expect(200);
        if logged(&system) > 0 { Ok(()) } else { Err(system.gateway.log()) }
    })
    .await;
    let before = shown(&system).await;
    assert_eq!(before["waiting"], 1, "{before}");
    assert_eq!(measured(&system).await, Some(1.0));

    node.start().await.expect("it starts on the same port and data");
    eventually(SOON, "they are counted again", async || {
        let now = shown(&system).await;
        let is_so = now["waiting"] == 1 && now["countedAt"].as_str() > before["countedAt"].as_str();
        if is_so { Ok(()) } else { Err(now) }
    })
    .await;
    assert_eq!(logged(&system), 1, "an outage is one line: {}", system.gateway.log());

    discard_one(&system).await;
    waiting_are(&system, 0).await;
    system.wait_broker().await;
    system.finish().await;
}

async fn waiting_are(system: &System, expected: u64) {
    eventually(SOON, &format!("{expected} dead letters wait"), async || {
        let (measured, shown) = (measured(system).await, shown(system).await);
        let is_so = measured == Some(expected as f64)
            && shown["waiting"] == expected
            && shown["countedAt"].as_str().is_some_and(|at| at.ends_with('Z'));
        if is_so { Ok(()) } else { Err(format!("measured {measured:?}, shown {shown}")) }
    })
    .await;
}

async fn measured(system: &System) -> Option<f64> {
    system.gateway.metric("warren_dead_letters_waiting").await
}

async fn shown(system: &System) -> Value {
    system.gateway.internal.get("/console/state").await.expect(200).json()["deadLetters"].clone()
}

fn logged(system: &System) -> usize {
    system.gateway.log_count("event=dead_letters_not_counted")
}

async fn discard_one(system: &System) {
    let admin = &system.gateway.internal;
    let list = admin.get("/dead-letters").await.expect(200).json();
    let key = list["items"][0]["key"].as_str().unwrap_or_else(|| panic!("no key in {list}"));
    let discard = admin.call(Method::DELETE, &format!("/dead-letters/{key}"));
    discard.header("x-confirm", "true").await.expect(204);
}

async fn top(system: &System) -> String {
    let mut command = Command::new(WARREN);
    command.args(["top", "--once", "--admin", system.gateway.internal.base()]);
    command.env_remove("ADMIN_TOKEN").stdin(Stdio::null());
    succeed(command.output().await.expect("this build's binary runs"))
}

warren::stories! {
    on both brokers:
        how_many_dead_letters_wait_is_seen_until_none_do;
    on the embedded broker:
        a_broker_that_is_away_leaves_the_last_count_with_its_time;
}
