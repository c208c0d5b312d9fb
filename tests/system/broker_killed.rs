//! The broker is killed by signal 9 while orders come in, and started again.

use std::collections::BTreeMap;
use std::env;
use std::time::{Duration, Instant};

use serde_json::Value;
use warren::harness::{Broker, Child, Folder, System, eventually, private_node};
use warren::note;

use crate::support::{
    Actors, Door, Habits, Holds, Shoppers, queues_are_registered, seeded, start_services, system,
};

/// From the broker's return until events flow again: 5 s, and more for a busy machine.
const RESUMES_WITHIN: Duration = Duration::from_secs(20);

async fn orders_go_on_while_the_broker_is_dead_and_each_counts_once_when_it_is_back() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = system().broker(node.url("/")).start().await;
    queues_are_registered(&folder).await;
    let pids = pids(&system);
    let shoppers = Shoppers::start(&Door::public(&system), Habits::default(), &mut seeded("broker killed"));
    shoppers.wait_placed(50).await;

    for outage in outages() {
        let before = generations(&system).await;
        node.kill9();
        let dead_since = Instant::now();
        for child in services(&system) {
            wait_status(child, "degraded", Duration::from_secs(2)).await;
        }
        note!("degraded {:?} after the kill", dead_since.elapsed());
        shoppers.wait_placed(20).await;
        shoppers.shop_for(outage.saturating_sub(dead_since.elapsed())).await;

        let waiting = applied(&system).await;
        node.start().await.expect("it starts on the same port and data");
        let back_since = Instant::now();
        for child in services(&system) {
            wait_status(child, "ready", RESUMES_WITHIN).await;
        }
        an_event_arrives(&system, waiting).await;
        let resumed = back_since.elapsed();
        note!("away for {:?}, events flow {resumed:?} after its return", back_since - dead_since);
        assert!(resumed < RESUMES_WITHIN, "events flow only {resumed:?} after the broker's return");
        for child in services(&system) {
            restarts_are_told(child, before[child.service().name()]).await;
        }
    }
    shoppers.wait_placed(50).await;
    let ledger = shoppers.go_home().await;

    ledger.print("broker killed");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    assert_eq!(pids, self::pids(&system), "no process was restarted");
    system.finish().await;
}

async fn threads_and_descriptors_stay_as_many_over_many_attempts_to_reconnect() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let quick = system().broker(node.url("/")).env_of_all("BROKER_RECONNECT_MAX_MS", "100");
    let system = start_services(quick).await;
    queues_are_registered(&folder).await;

    // Once, so that everything that is made on first use is there.
    outage(&system, &node, 5).await;
    let warm = services(&system).map(Holds::now);
    outage(&system, &node, 60).await;
    outage(&system, &node, 60).await;

    for warm in warm {
        warm.still().await;
    }
    system.finish().await;
}

/// Kills the broker until each service has tried so often to reach it, and starts it again.
async fn outage(system: &System, node: &Broker, attempts: u64) {
    let before = generations(system).await;
    node.kill9();
    for child in services(system) {
        eventually(Duration::from_secs(60), "the service tries to reconnect", async || {
            let generation = Actors::of(child).await.generation("broker");
            let tried = generation - before[child.service().name()];
            if tried >= attempts { Ok(()) } else { Err(format!("{tried} of {attempts} times")) }
        })
        .await;
    }
    node.start().await.expect("it starts on the same port and data");
    for child in services(system) {
        child.wait_not_degraded().await;
    }
}

/// How long the broker is away: about one second and ten, and a minute or whatever else a soak asks for.
fn outages() -> Vec<Duration> {
    let soak = env::var("WARREN_SOAK_OUTAGE_SECS").ok().and_then(|seconds| seconds.parse().ok());
    [1, 10].into_iter().chain(soak).map(Duration::from_secs).collect()
}

fn services(system: &System) -> [&Child; 2] {
    [&system.users, &system.orders]
}

fn pids(system: &System) -> Vec<u32> {
    let pid = |child: &Child| {
        assert!(child.is_running(), "{} has ended", child.service());
        child.pid()
    };
    system.children().map(pid).collect()
}

async fn generations(system: &System) -> BTreeMap<&'static str, u64> {
    let mut generations = BTreeMap::new();
    for child in services(system) {
        generations.insert(child.service().name(), Actors::of(child).await.generation("broker"));
    }
    generations
}

async fn wait_status(child: &Child, status: &str, deadline: Duration) {
    eventually(deadline, &format!("{} says {status}", child.service()), async || {
        let answer = child.http.get("/health/ready").await.expect(200).json();
        if answer["status"] == status { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
}

/// Waits until users has applied one more event than so many.
async fn an_event_arrives(system: &System, before: u64) {
    eventually(RESUMES_WITHIN, "events flow", async || {
        let applied = applied(system).await;
        if applied > before { Ok(()) } else { Err(format!("{applied} were applied, as before")) }
    })
    .await;
}

async fn applied(system: &System) -> u64 {
    let consumer = Actors::of(&system.users).await.observed("consumer:users.order-created");
    consumer["applied"].as_u64().expect("a count")
}

/// Every generation that ended since is told: a line in the log each, and an entry of the timeline, recovered by now.
async fn restarts_are_told(child: &Child, since: u64) {
    let actors = Actors::of(child).await;
    let timeline = actors.timeline("broker");
    let generation = actors.generation("broker");
    assert!(generation > since, "{} went on with generation {since}", child.service());
    assert_eq!(actors.restarts("broker"), generation - 1);

    for ended in since..generation {
        let lines = child.log_count(&format!("event=restart actor=broker generation={ended} cause=\"lost: "));
        assert_eq!(lines, 1, "lines of {} about the end of generation {ended}", child.service());
    }
    // One outage is one entry, however many attempts it took.
    let entry = timeline.iter().find(|entry| entry["generation"] == since);
    let entry = entry.unwrap_or_else(|| panic!("no entry about generation {since} in {timeline:?}"));
    assert_eq!(
        (&entry["kind"], &entry["attempts"]),
        (&"link".into(), &(generation - since).into()),
        "{entry}"
    );
    assert!(entry["cause"].as_str().is_some_and(|cause| cause.starts_with("lost: ")), "{entry}");
    assert_ne!(entry["durationMs"], Value::Null, "{entry}");
    note!("{}: {entry}", child.service());
}

warren::stories! {
    on both brokers:
        orders_go_on_while_the_broker_is_dead_and_each_counts_once_when_it_is_back,
        threads_and_descriptors_stay_as_many_over_many_attempts_to_reconnect;
}
