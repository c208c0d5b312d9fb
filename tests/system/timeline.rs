//! A fault and its recovery are one entry of a service's timeline, which outlives the process.

use std::time::Duration;
use std::{fs, io};

use jiff::Timestamp;
use serde_json::{Value, json};
use warren::harness::{Child, Folder, eventually, inject, private_node};
use warren::note;

use crate::support::{
    Door, Habits, Shoppers, problem, queues_are_registered, seeded, start_services, system,
};

const SOON: Duration = Duration::from_secs(20);

async fn an_outage_says_how_long_it_lasted_how_many_events_waited_and_when_they_had_left() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = start_services(system().broker(node.url("/"))).await;
    queues_are_registered(&folder).await;
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("timeline"));
    shoppers.wait_placed(20).await;

    node.kill9();
    shoppers.wait_placed(50).await;
    let lasting = entry(&system.orders, "link", |entry| entry["endedAt"].is_null()).await;
    node.start().await.expect("it starts on the same port and data");
    let over = entry(&system.orders, "link", |entry| entry["drainedMs"].is_u64()).await;
    let ledger = shoppers.go_home().await;

    assert_eq!((&lasting["id"], &lasting["waited"]), (&over["id"], &Value::Null));
    assert!(over["attempts"].as_u64() >= Some(1), "{over}");
    assert!(over["waited"].as_u64() >= Some(30), "50 orders were placed meanwhile: {over}");
    assert!(over["durationMs"].as_u64() > Some(0), "{over}");
    note!("{over}");
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_restarted_service_still_knows_what_happened_and_how_its_last_process_ended() {
    let system = start_services(system().env_of_all("DEMO_FAULTS", "true")).await;
    inject(&system.users, "repository", "panic").await.expect(202);
    let before = entry(&system.users, "actor", |entry| !entry["endedAt"].is_null()).await;

    system.users.terminate().await;
    system.users.restart().await;
    let kept = page(&system.users).await;
    let kinds: Vec<&Value> = kept.iter().map(|entry| &entry["kind"]).collect();
    assert_eq!(kinds, ["actor", "operator"], "who stops in order leaves nothing");
    assert_eq!((&kept[1]["subject"], &kept[1]["cause"]), (&json!("repository"), &json!("told to panic")));
    system.users.kill9();
    system.users.restart().await;

    let after = page(&system.users).await;
    assert_eq!((&after[1], &after[1..]), (&before, &kept[..]), "{after:?}");
    assert_eq!(after[0]["kind"], "process", "{after:?}");
    assert_eq!(after[0]["cause"], "signal 9", "as whoever started it again says: {after:?}");
    let first = system.users.internal.get(&format!("/timeline?limit=1&before={}", after[0]["id"])).await;
    assert_eq!(first.expect(200).json()["items"], json!([before]));
    problem(&system.users.internal.get("/timeline?before=yesterday").await, 400, "invalid query");
    system.finish().await;
}

async fn a_process_that_nobody_saw_end_is_told_with_how_long_it_was_away() {
    let system = start_services(system()).await;
    // As under whatever brings a process back and says nothing.
    system.users.set_env("WARREN_LAST_EXIT", "");
    system.users.set_env("WARREN_LAST_ENDED_AT", "");
    let sign = system.folder().path().join("users/users.timeline/alive");
    let alive = || Timestamp::try_from(fs::metadata(&sign)?.modified()?).map_err(io::Error::other);
    let first = alive().expect("a process gives a sign of life");
    eventually(SOON, "it gives another one", async || {
        let now = alive().expect("there is one");
        if now > first { Ok(()) } else { Err(now) }
    })
    .await;

    let pid = system.users.pid();
    system.users.kill9();
    let (last, killed) = (alive().expect("it stays behind"), Timestamp::now());
    system.users.restart().await;

    let end = page(&system.users).await.remove(0);
    assert_eq!((&end["kind"], &end["subject"]), (&json!("process"), &json!("users")), "{end}");
    assert_eq!(end["cause"], format!("process {pid} ended without having stopped"), "{end}");
    let time = |name: &str| end[name].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect(name);
    assert_eq!(time("at"), last, "{end}");
    assert!(time("endedAt") >= killed, "it was back after it was killed: {end}");
    let away = time("endedAt").as_millisecond() - last.as_millisecond();
    assert_eq!(end["durationMs"].as_i64(), Some(away), "{end}");
    // A second, and what a busy machine takes for it.
    assert!(killed.as_second() - last.as_second() < 10, "{last} is long before {killed}");
    system.finish().await;
}

async fn whoever_keeps_a_process_tells_of_its_end_and_hears_what_is_wrong_with_that() {
    let system = system().start().await;
    let gateway = &system.gateway.internal;
    let told = json!({
        "subject": "broker", "cause": "signal 9",
        "at": "2025-03-01T13:00:26.100Z", "endedAt": "2025-03-01T13:00:27.400Z",
    });

    let entry = gateway.post("/timeline").json(&told).await.expect(201).json();
    let again = gateway.post("/timeline").json(&told).await.expect(201).json();

    assert_eq!((&entry["service"], &entry["kind"]), (&json!("gateway"), &json!("process")), "{entry}");
    assert_eq!((&entry["subject"], &entry["durationMs"]), (&json!("broker"), &json!(1300)), "{entry}");
    assert_eq!(again, entry, "who is not sure tells it again");
    for path in ["/timeline", "/console/timeline?kind=process"] {
        assert_eq!(gateway.get(path).await.expect(200).json()["items"], json!([entry]), "{path}");
    }
    for (wrong, said) in [
        (json!({ "subject": "broker" }), "missing field `cause`"),
        (json!({ "kind": "operator" }), "unknown field"),
        (json!(["broker"]), "must be a JSON object"),
        (json!({ "subject": "", "cause": "c", "at": "now", "endedAt": "" }), "subject must be"),
    ] {
        let answer = gateway.post("/timeline").json(&wrong).await;
        problem(&answer, 400, "invalid body");
        assert!(answer.text().contains(said), "{wrong}: {answer}");
    }
    let from_elsewhere = gateway.post("/timeline").json(&told).header("sec-fetch-site", "cross-site");
    problem(&from_elsewhere.await, 403, "cross-site request");
    problem(&system.users.internal.post("/timeline").json(&told).await, 405, "method not allowed");
    system.finish().await;
}

async fn a_breaker_that_opens_is_an_entry_until_it_closes() {
    let system = start_services(system()).await;
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("breaker"));
    shoppers.wait_placed(20).await;

    system.users.kill9();
    let lasting = entry(&system.orders, "breaker", |entry| entry["endedAt"].is_null()).await;
    system.users.restart().await;
    let over = entry(&system.orders, "breaker", |entry| !entry["endedAt"].is_null()).await;
    let ledger = shoppers.go_home().await;

    assert_eq!((&lasting["id"], &lasting["subject"]), (&over["id"], &json!("users")));
    ledger.audit(&system).await;
    system.finish().await;
}

/// The newest entry of a kind, once it is as it should be.
async fn entry(child: &Child, kind: &str, is_as_it_should_be: impl Fn(&Value) -> bool) -> Value {
    eventually(SOON, &format!("{} tells of a {kind}", child.service()), async || {
        let entries = page(child).await;
        let found = entries.iter().find(|entry| entry["kind"] == kind && is_as_it_should_be(entry));
        found.cloned().ok_or_else(|| format!("{entries:?}"))
    })
    .await
}

/// All entries, newest first.
async fn page(child: &Child) -> Vec<Value> {
    let page = child.internal.get("/timeline").await.expect(200).json();
    page["items"].as_array().expect("a list").clone()
}

warren::stories! {
    on both brokers:
        an_outage_says_how_long_it_lasted_how_many_events_waited_and_when_they_had_left;
    on the embedded broker:
        a_restarted_service_still_knows_what_happened_and_how_its_last_process_ended,
        a_process_that_nobody_saw_end_is_told_with_how_long_it_was_away,
        whoever_keeps_a_process_tells_of_its_end_and_hears_what_is_wrong_with_that,
        a_breaker_that_opens_is_an_entry_until_it_closes;
}
