//! Whoever asks for more than its share is told when there is more, and nobody else suffers from it.

use std::time::Duration;

use futures_util::future::join_all;
use warren::harness::eventually;
use warren::http::{Answer, Http};
use warren::service::Service;

use crate::support::{Door, Habits, Session, Shoppers, problem, seeded, system};

async fn ask_at_once(api: &Http, times: usize) -> (Vec<Answer>, Vec<Answer>) {
    let asked = join_all((0..times).map(|_| api.get("/api/users/u1").into_future())).await;
    asked.into_iter().partition(|answer| answer.status == 200)
}

async fn what_is_too_much_is_refused_and_later_it_is_not() {
    let system = system().env(Service::Gateway, "RATE_LIMIT", "5/1").start().await;

    let (answered, refused) = ask_at_once(&system.api, 40).await;

    assert!(answered.len() >= 5 && !refused.is_empty(), "{} answered", answered.len());
    for answer in &answered {
        assert_eq!(answer.header("ratelimit-policy"), Some("\"default\";q=5;w=1"), "{answer}");
        assert!(answer.header("ratelimit").is_some(), "{answer}");
    }
    for answer in &refused {
        problem(answer, 429, "too many requests");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
        assert!(answer.header("ratelimit").is_some_and(|left| left.contains("r=0")), "{answer}");
    }
    // What operators ask for is not counted.
    for _ in 0..20 {
        system.api.get("/health/ready").await.expect(200);
    }
    eventually(Duration::from_secs(10), "the client may ask again", async || {
        let answer = system.api.get("/api/users/u1").await;
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    assert!(system.gateway.metric("gateway_refused_total").await.is_some_and(|count| count > 0.0));
    system.finish().await;
}

async fn whoever_has_a_token_has_a_share_of_its_own() {
    let system = system()
        .env(Service::Gateway, "AUTH", "required")
        .env(Service::Gateway, "RATE_LIMIT", "10/60")
        .start();
    let system = system.await;
    let (grace_id, grace) = Session::register(&system.api, "grace@example.com", "correct horse").await;
    let ada = Session::begin(&system.api, "ada@example.com", "correct horse battery").await;

    let asked = join_all((0..30).map(|_| ada.asks(system.api.get("/api/users/u1")).into_future())).await;

    assert!(asked.iter().any(|answer| answer.status == 429), "Ada has asked for too much");
    grace.asks(system.api.get(&format!("/api/users/{grace_id}"))).await.expect(200);
    system.finish().await;
}

async fn the_limit_that_one_tries_the_system_with_is_none_that_one_meets() {
    let system = system().start().await;
    let shoppers = Shoppers::start(&Door::public(&system), Habits::default(), &mut seeded("no limit"));
    shoppers.wait_placed(500).await;
    let ledger = shoppers.go_home().await;

    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

warren::stories! {
    on both brokers:
        the_limit_that_one_tries_the_system_with_is_none_that_one_meets;
    // About what the gateway says to clients, which knows no broker.
    on the embedded broker:
        what_is_too_much_is_refused_and_later_it_is_not,
        whoever_has_a_token_has_a_share_of_its_own;
}
