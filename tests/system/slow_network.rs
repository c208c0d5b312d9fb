//! The network between the gateway, orders and the users service is slow, breaks off or swallows everything, while all of
//! them are well.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;
use warren::fault_proxy::{BOTH, Direction, FaultProxy};
use warren::harness::{Setup, System, eventually};
use warren::http::{Answer, Call};
use warren::service::Service;

use crate::support::{Door, Habits, Shoppers, problem, seeded, system};

/// Long enough for a machine that does other things as well.
const SOON: Duration = Duration::from_secs(20);

/// How long an impatient gateway waits for the beginning of an answer, instead of 5 s.
const HEAD: Duration = Duration::from_millis(1_500);

async fn over_a_slow_network_everything_is_slow_and_nothing_fails() {
    let (system, network) = networked(system()).await;
    let habits = Habits { shoppers: 12, ..Habits::default() };
    network.delay(BOTH, Duration::from_millis(100), Duration::from_millis(50));

    let shoppers = Shoppers::start(&Door::public(&system), habits, &mut seeded("slow network"));
    shoppers.wait_placed(100).await;
    let ledger = shoppers.go_home().await;

    ledger.print("slow network");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_request_whose_connection_is_reset_is_sent_again_only_where_that_is_harmless() {
    // No question about health in between, so that the requests are all that is on the network.
    let (system, network) = networked(system().env(Service::Gateway, "GATEWAY_HEALTH_MS", "60000")).await;

    // The users service acts, and its answer never arrives. Whoever gave no key hears that nobody knows.
    let lost = lose_answer(&system, &network, post(&system, "ada2@example.com"), "ada2@example.com").await;
    problem(&lost, 502, "bad gateway");
    problem(&post(&system, "ada2@example.com").await, 409, "email taken");

    // Whoever gave one gets the answer at the second attempt, which has no second effect.
    let keyed = post(&system, "ada3@example.com").header("Idempotency-Key", "ada3");
    let answer = lose_answer(&system, &network, keyed, "ada3@example.com").await.expect(201);
    assert_eq!(answer.header("idempotency-replayed"), Some("true"), "{answer}");
    assert_eq!(count(&system, "ada3@example.com").await, 1);

    // A connection that was reset while it was idle costs nothing either.
    network.reset();
    system.api.get("/api/users/u1").await.expect(200);
    system.finish().await;
}

async fn a_network_that_swallows_everything_is_given_up_in_time_and_then_at_once() {
    let (system, network) = networked(impatient().env(Service::Orders, "CUSTOMERS_DEADLINE_MS", "500")).await;
    let keyed = || post(&system, "grace@example.com").header("Idempotency-Key", "grace");

    network.hold(BOTH);
    let begun = Instant::now();
    problem(&keyed().await, 504, "gateway timeout");
    assert!(begun.elapsed() >= HEAD, "it has not waited: {:?}", begun.elapsed());
    // After some of these the breaker opens, and nobody waits any more.
    let refused = eventually(SOON, "the users service is not asked any more", async || {
        let answer = system.api.get("/api/users/u1").await;
        if answer.status == 503 { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    problem(&refused, 503, "users unavailable");
    assert!(refused.header("retry-after").is_some(), "{refused}");
    // Orders are refused, too, since nobody says whose they would be; none is left behind.
    let order = json!({ "userId": "u1", "items": ["book"] });
    problem(&system.api.post("/api/orders").json(&order).await, 503, "users unavailable");
    assert_eq!(system.orders.http.get("/orders").await.expect(200).json()["items"], json!([]));

    // What was held arrives late; asked again under its key, it has happened once.
    network.normal();
    eventually(SOON, "the users service is asked again", async || {
        let answer = keyed().await;
        if answer.status == 201 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    assert_eq!(count(&system, "grace@example.com").await, 1);
    system.finish().await;
}

async fn a_network_that_is_pulled_out_is_noticed_at_once() {
    let (system, network) = networked(impatient()).await;

    network.refuse();
    let refused = eventually(SOON, "the users service is away", async || {
        let answer = system.api.get("/api/users/u1").await;
        if answer.status == 503 { Ok(answer) } else { Err(answer.to_string()) }
    })
    .await;
    problem(&refused, 503, "users unavailable");

    network.normal();
    eventually(SOON, "the users service is back", async || {
        let answer = system.api.get("/api/users/u1").await;
        if answer.status == 200 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    system.finish().await;
}

async fn whatever_the_network_does_what_was_accepted_is_there_once() {
    const KINDS: u8 = 6;
    let (system, network) = networked(impatient()).await;
    let mut rng = seeded("bad network");
    // Who registers often has something on its way to users whenever a fault comes.
    let habits = Habits { orders_a_user: 2, ..Habits::default() };
    let shoppers = Shoppers::start(&Door::public(&system), habits, &mut rng);
    shoppers.wait_placed(20).await;

    let mut faults: Vec<u8> = (0..2 * KINDS).map(|number| number % KINDS).collect();
    rng.shuffle(&mut faults);
    for fault in faults {
        let direction = *rng.choice(BOTH).expect("there are two");
        match fault {
            0 => network.reset(),
            1 => network.half_close(direction),
            2 => network.cut_after(direction, rng.u64(1..2_000)),
            3 => network.hold(&[direction]),
            4 => network.lose(&[direction]),
            _ => network.throttle(BOTH, 2_000),
        }
        // How long a fault lasts is part of it.
        sleep(Duration::from_millis(rng.u64(50..1_500))).await;
        network.normal();
        // Also by way of a breaker that has opened.
        shoppers.wait_placed(10).await;
    }
    let ledger = shoppers.go_home().await;

    ledger.print("bad network");
    // What the gateway could not hide from its clients, and what it could.
    let failures = system.gateway.metric("gateway_upstream_failures_total").await.unwrap_or(0.0);
    let taken = r#"gateway_upstream_retries_total{upstream="users",outcome="taken"}"#;
    let retries = system.gateway.metric(taken).await.unwrap_or(0.0);
    assert!(failures + retries > 0.0, "the faults have met nothing");
    ledger.audit(&system).await;
    system.finish().await;
}

/// A system in which the gateway and orders reach the users service through a proxy.
async fn networked(setup: Setup) -> (System, FaultProxy) {
    let system = setup.prepare().await;
    let network = FaultProxy::before(system.users.http.base()).await.expect("a port is free");
    for child in [&system.gateway, &system.orders] {
        child.set_env("USER_URL", network.url());
    }
    system.children().for_each(|child| child.start());
    for child in system.children() {
        child.wait_ready().await;
    }
    system.wait_broker().await;
    (system, network)
}

/// A system whose gateway does not wait long.
fn impatient() -> Setup {
    system().env(Service::Gateway, "GATEWAY_HEAD_MS", &HEAD.as_millis().to_string())
}

fn post(system: &System, email: &str) -> Call {
    system.api.post("/api/users").json(&json!({ "name": "Ada", "email": email }))
}

/// Makes a call that creates a user, and has the network lose its connection between the effect and the answer.
async fn lose_answer(system: &System, network: &FaultProxy, call: Call, email: &str) -> Answer {
    network.hold(&[Direction::ToClient]);
    let answer = tokio::spawn(call.into_future());
    eventually(SOON, "the users service has acted", async || match count(system, email).await {
        1 => Ok(()),
        count => Err(format!("{count} users")),
    })
    .await;
    network.reset();
    network.normal();
    answer.await.expect("it is answered")
}

/// How many users have this address, by the users service itself.
async fn count(system: &System, email: &str) -> usize {
    let users: Value = system.users.http.get("/users?limit=100").await.expect(200).json();
    let items = users["items"].as_array().expect("a list");
    items.iter().filter(|user| user["email"] == email).count()
}

warren::stories! {
    on the embedded broker:
        over_a_slow_network_everything_is_slow_and_nothing_fails,
        a_request_whose_connection_is_reset_is_sent_again_only_where_that_is_harmless,
        a_network_that_swallows_everything_is_given_up_in_time_and_then_at_once,
        a_network_that_is_pulled_out_is_noticed_at_once,
        whatever_the_network_does_what_was_accepted_is_there_once;
}
