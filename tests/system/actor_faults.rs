//! Every kind of actor panics and stops under load.

use std::time::Duration;

use serde_json::json;
use warren::harness::{Child, eventually_equal};
use warren::note;
use warren::service::Service;

use crate::support::{
    Actors, Door, Habits, Shoppers, end_stall, inject, problem, seeded, stall, start_services, system,
    wait_next_generation,
};

/// An actor is back within a second; a busy machine gets more.
const BACK_WITHIN: Duration = Duration::from_secs(5);

async fn every_actor_that_panics_or_stops_is_back_and_no_other_notices() {
    let system = system().env_of_all("DEMO_FAULTS", "true").start().await;
    let habits = Habits { shoppers: 3, pause: Duration::from_millis(10), ..Habits::default() };
    let shoppers = Shoppers::start(&Door::public(&system), habits, &mut seeded("actor faults"));
    shoppers.wait_placed(20).await;

    let mut kinds = 0;
    for child in system.children() {
        for actor in Actors::of(child).await.names() {
            for (kind, cause) in [("panic", "panicked: injected by a fault request"), ("stop", "stopped")] {
                shoppers.wait_placed(3).await;
                a_fault_stays_where_it_is(child, &actor, kind, cause).await;
            }
            kinds += 1;
        }
    }
    assert!(kinds >= 6 + 5 + 2, "only {kinds} actors were found");
    shoppers.wait_placed(20).await;
    let ledger = shoppers.go_home().await;

    ledger.print("actor faults");
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_fault_stays_where_it_is(child: &Child, actor: &str, kind: &str, cause: &str) {
    let before = Actors::of(child).await;
    let generation = before.generation(actor);
    let counter = format!("{}_actor_restarts_total", child.service());
    let counted = child.metric(&counter).await.unwrap_or_default();

    inject(child, actor, kind).await.expect(202);
    let seen = wait_next_generation(child, actor, generation, BACK_WITHIN).await;

    let after = Actors::of(child).await;
    let others = |actors: &Actors| -> Vec<(String, u64)> {
        let names = actors.names().into_iter().filter(|name| name != actor);
        names.map(|name| (name.clone(), actors.generation(&name))).collect()
    };
    assert_eq!(others(&after), others(&before), "{kind} of {actor} reached others");
    assert_eq!(after.generation(actor), generation + 1);
    assert_eq!(after.restarts(actor), generation);
    assert_eq!(child.metric(&counter).await, Some(counted + 1.0));
    let timeline = after.timeline(actor);
    let entry = timeline.iter().find(|entry| entry["generation"] == generation).expect("the restart is told");
    assert_eq!((&entry["kind"], &entry["cause"]), (&"actor".into(), &cause.into()), "{entry}");
    let recovered = entry["durationMs"].as_u64().expect("it has recovered");
    note!("{} {actor} {kind}: back after {recovered} ms, seen after {seen:?}", child.service());
    assert!(recovered < BACK_WITHIN.as_millis() as u64, "{entry}");
}

async fn an_actor_that_panics_again_and_again_ends_its_process_with_code_70() {
    let system = start_services(system().env(Service::Orders, "DEMO_FAULTS", "true")).await;
    let shoppers = Shoppers::start(&Door::internal(&system), Habits::default(), &mut seeded("escalation"));
    shoppers.wait_placed(20).await;

    let mut panics = 0;
    while system.orders.is_running() && panics < 40 {
        let generation = Actors::of(&system.orders).await.generation("customers");
        inject(&system.orders, "customers", "panic").await.expect(202);
        panics += 1;
        if panics > 20 {
            break;
        }
        wait_next_generation(&system.orders, "customers", generation, BACK_WITHIN).await;
    }
    let status = system.orders.ended(Duration::from_secs(25)).await;

    assert_eq!((status.code(), panics), (Some(70), 21), "{status}");
    assert!(system.orders.log_contains("event=escalated actor=customers cause=\"panicked: "));
    system.orders.restart().await;
    shoppers.wait_placed(20).await;
    let ledger = shoppers.go_home().await;
    ledger.print("escalation");
    ledger.audit(&system).await;
    system.finish().await;
}

async fn an_actor_can_be_stalled_for_a_minute_and_no_longer_and_goes_on_where_it_was() {
    let system = system().env_of_all("DEMO_FAULTS", "true").start().await;
    let path = "/actors/customers/fault";
    let orders = &system.orders;

    for (fault, complaint) in [
        (json!({ "kind": "stall", "ms": 60_001 }), "at most 60000 ms"),
        (json!({ "kind": "stall" }), "missing field `ms`"),
        (json!({ "kind": "stroll" }), "expected one of `panic`, `stop`, `stall`"),
    ] {
        let refused = problem(&orders.internal.post(path).json(&fault).await, 400, "invalid body");
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains(complaint)), "{refused}");
    }
    let before = Actors::of(orders).await;
    stall(orders, "customers").await;
    assert_eq!(Actors::of(orders).await.names(), before.names(), "the others answer");
    end_stall(orders, "customers").await;

    let observed = async || !Actors::of(orders).await.observed("customers").is_null();
    eventually_equal(BACK_WITHIN, "it goes on", true, observed).await;
    assert_eq!(Actors::of(orders).await.generation("customers"), 1);
    system.finish().await;
}

async fn faults_are_not_to_be_had_unless_they_are_switched_on() {
    let system = system().start().await;

    for child in system.children() {
        for actor in Actors::of(child).await.names() {
            inject(child, &actor, "panic").await.expect(404);
            assert_eq!(Actors::of(child).await.generation(&actor), 1);
        }
    }
    system.finish().await;
}

warren::stories! {
    on both brokers:
        every_actor_that_panics_or_stops_is_back_and_no_other_notices,
        an_actor_that_panics_again_and_again_ends_its_process_with_code_70,
        faults_are_not_to_be_had_unless_they_are_switched_on;
    on the embedded broker:
        an_actor_can_be_stalled_for_a_minute_and_no_longer_and_goes_on_where_it_was;
}
