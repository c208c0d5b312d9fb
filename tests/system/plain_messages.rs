//! What is on the wire: plain JSON that any program can send and read, with everything else beside it and no secret
//! anywhere.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use serde_json::{Value, json};
use uuid::Uuid;
use warren::harness::{System, eventually};

use crate::support::{Amqp, Message, Tap, system};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// Nothing but the body: what `channel.publish("events", key, Buffer.from(JSON.stringify(x)))` sends.
fn plain(routing_key: &str, body: &Value) -> Message {
    Message { properties: BasicProperties::default(), ..Message::event(routing_key, body) }
}

async fn a_message_that_is_only_a_body_is_applied_and_known_again() {
    let system = system().start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    let first = plain(
        "order.created",
        &json!({ "id": "o1", "userId": "u1", "items": ["book"], "status": "created" }),
    );
    let second = plain("order.created", &json!({ "id": "o2", "userId": "u1" }));
    let cancelled = plain("order.cancelled", &json!({ "id": "o1", "userId": "u1" }));

    amqp.publish_all(&[first.clone(), first.clone(), second.clone()]).await;
    wait_order_count(&system, 2).await;
    amqp.publish_all(&[first.clone(), second, cancelled.clone(), first]).await;
    wait_order_count(&system, 1).await;
    amqp.publish(&cancelled).await;
    wait_seen(&system, 8).await;
    wait_order_count(&system, 1).await;

    amqp.publish(&plain(
        "user.created",
        &json!({ "id": "u1", "name": "Countess Ada", "anything": [1, null] }),
    ))
    .await;
    let order = system.api.post("/api/orders").json(&json!({ "userId": "u1", "items": ["book"] })).await;
    let path = format!("/api/orders/{}", order.expect(201).json()["id"].as_str().expect("an id"));
    eventually(Duration::from_secs(5), "orders has heard of the name", async || {
        let order = system.api.get(&path).await.expect(200).json();
        if order["customerName"] == "Countess Ada" { Ok(()) } else { Err(order) }
    })
    .await;
    wait_order_count(&system, 2).await;
    system.finish().await;
}

async fn an_event_is_the_resource_as_plain_json_and_names_the_request_that_caused_it() {
    let system = system().start().await;
    let tap = Tap::open(&system).await;
    let call = |path: &str, request_id: &str| {
        let traceparent = format!("00-{TRACE_ID}-00f067aa0ba902b7-01");
        system.api.post(path).header("traceparent", &traceparent).header("x-request-id", request_id)
    };

    let registration = json!({ "name": "Grace", "email": "grace@example.com", "password": "correct horse" });
    let user = call("/api/users", "request-1").json(&registration).await.expect(201);
    let order = json!({ "userId": user.json()["id"], "items": ["book", "Bücher \u{1F4DA}"] });
    let order = call("/api/orders", "request-2").json(&order).await.expect(201);
    let cancel = format!("/api/orders/{}/cancel", order.json()["id"].as_str().expect("an id"));
    let cancelled = call(&cancel, "request-3").await.expect(200);

    let events = tap.take(3).await;
    for (kind, source, request_id, answer) in [
        ("user.created", "users", "request-1", &user),
        ("order.created", "orders", "request-2", &order),
        ("order.cancelled", "orders", "request-3", &cancelled),
    ] {
        let event = events.iter().find(|event| event.routing_key == kind);
        let event = event.unwrap_or_else(|| panic!("no {kind} in {events:?}"));
        assert_eq!(event.exchange, "events");
        assert_eq!(String::from_utf8_lossy(&event.body), answer.text(), "the body is what the client got");

        let properties = &event.properties;
        let text = |property: &Option<lapin::types::ShortString>| property.as_ref().map(ToString::to_string);
        assert_eq!(text(properties.kind()).as_deref(), Some(kind));
        assert_eq!(text(properties.app_id()).as_deref(), Some(source));
        assert_eq!(text(properties.content_type()).as_deref(), Some("application/json"));
        assert_eq!(text(properties.correlation_id()).as_deref(), Some(request_id));
        assert_eq!(*properties.delivery_mode(), Some(2), "kept on disk");
        let id = text(properties.message_id()).and_then(|id| Uuid::try_parse(&id).ok());
        assert_eq!(id.map(|id| id.get_version_num()), Some(7), "{properties:?}");
        let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs();
        assert!(properties.timestamp().is_some_and(|at| (now - 60..=now).contains(&at)), "{properties:?}");

        assert_eq!(event.header("x-request-id").as_deref(), Some(request_id));
        let traceparent = event.header("traceparent").expect("a traceparent");
        assert!(traceparent.starts_with(&format!("00-{TRACE_ID}-")), "{traceparent}");
        assert_ne!(traceparent, format!("00-{TRACE_ID}-00f067aa0ba902b7-01"), "a span of its own");
        assert_eq!(event.header("x-schema-version").as_deref(), Some("1"));
        assert_eq!(event.header("x-aggregate").as_deref(), answer.json()["id"].as_str());
        let changed = if kind == "order.cancelled" { "cancelledAt" } else { "createdAt" };
        assert_eq!(event.header("x-time").as_deref(), answer.json()[changed].as_str());
    }
    system.finish().await;
}

async fn a_password_is_in_no_event_no_log_no_answer_and_no_file() {
    const SECRET: &str = "correct-horse-battery";
    let system = system().env_of_all("RUST_LOG", "debug").start().await;
    let tap = Tap::open(&system).await;
    let register = |email: &str, password: &str| {
        system.api.post("/api/users").json(&json!({ "name": "Grace", "email": email, "password": password }))
    };

    let mut answers = Vec::new();
    for (email, status) in [("grace@example.com", 201), ("grace@example.com", 409), ("nonsense", 422)] {
        answers.push(register(email, SECRET).await.expect(status));
    }
    answers.push(register("too-long@example.com", &SECRET.repeat(10)).await.expect(422));
    for (password, status) in
        [(SECRET.to_owned(), 201), (SECRET.to_owned(), 201), (SECRET.to_uppercase(), 422)]
    {
        let call = register("keyed@example.com", &password).header("Idempotency-Key", "key");
        answers.push(call.await.expect(status));
    }
    for malformed in [
        json!(SECRET).to_string(),
        json!({ "name": "Grace", "email": [SECRET], "password": [SECRET] }).to_string(),
        json!({ "name": { "password": SECRET } }).to_string(),
        format!(r#"{{"password":"{SECRET}"#),
        format!(r#"{{"password":"{SECRET}\q"}}"#),
    ] {
        let call = system.api.post("/api/users").header("content-type", "application/json").body(malformed);
        answers.push(call.await.expect(400));
    }
    let id = answers[0].json()["id"].as_str().expect("an id").to_owned();
    answers.push(system.api.get(&format!("/api/users/{id}")).await.expect(200));
    answers.push(system.api.get("/api/users").await.expect(200));
    for child in system.children() {
        answers.push(child.internal.get("/actors").await.expect(200));
        answers.push(child.internal.get("/metrics").await.expect(200));
    }

    let is_secret = |text: &str| {
        let text = text.to_lowercase();
        [SECRET, "argon2", "password_hash", "passwordhash"].into_iter().find(|word| text.contains(word))
    };
    for answer in &answers {
        assert_eq!(is_secret(&answer.text()), None, "{answer}");
    }
    for event in tap.take(2).await {
        assert_eq!(is_secret(&String::from_utf8_lossy(&event.body)), None, "{event:?}");
        assert_eq!(is_secret(&format!("{:?}", event.properties)), None, "{event:?}");
    }
    for child in system.children() {
        let log = child.log();
        assert!(log.contains("event=request "), "{} logs at debug level", child.service());
        assert_eq!(
            log.lines().find(|line| is_secret(line).is_some()),
            None,
            "in the log of {}",
            child.service()
        );
    }
    let (mut files, mut hashes) = (Vec::new(), 0);
    list_files(system.folder().path(), &mut files);
    for file in files {
        let bytes = fs::read(&file).expect("the test's own file");
        let text = String::from_utf8_lossy(&bytes).to_lowercase();
        assert!(!text.contains(SECRET), "the password is in {}", file.display());
        hashes += text.matches("$argon2id$").count();
    }
    assert!(hashes >= 2, "this looked where the hashes are");
    system.finish().await;
}

async fn wait_order_count(system: &System, expected: u64) {
    eventually(Duration::from_secs(10), &format!("Ada has {expected} orders"), async || {
        let user = system.api.get("/api/users/u1").await.expect(200).json();
        if user["orderCount"] == expected { Ok(()) } else { Err(user) }
    })
    .await;
}

/// Waits until the users service is done with this many deliveries.
async fn wait_seen(system: &System, expected: u64) {
    eventually(Duration::from_secs(10), &format!("{expected} deliveries are done"), async || {
        let report = system.users.actors().await;
        let actors = report["actors"].as_array().expect("actors");
        let consumers = actors
            .iter()
            .filter(|actor| actor["name"].as_str().is_some_and(|name| name.starts_with("consumer:")));
        let count = |consumer: &Value, what: &str| consumer["observed"][what].as_u64().unwrap_or(0);
        let done: u64 =
            consumers.map(|consumer| count(consumer, "applied") + count(consumer, "seenBefore")).sum();
        if done == expected { Ok(()) } else { Err(report) }
    })
    .await;
}

fn list_files(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("the test's own folder").flatten() {
        if entry.path().is_dir() {
            list_files(&entry.path(), files);
        } else {
            files.push(entry.path());
        }
    }
}

warren::stories! {
    on both brokers:
        a_message_that_is_only_a_body_is_applied_and_known_again,
        an_event_is_the_resource_as_plain_json_and_names_the_request_that_caused_it,
        a_password_is_in_no_event_no_log_no_answer_and_no_file;
}
