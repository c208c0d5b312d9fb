//! An operator lists the dead letters and sends them back, by `warren dead-letters`.

use std::time::Duration;

use serde_json::json;
use warren::harness::eventually;
use warren::ports;
use warren::service::Service;

use crate::support::{Amqp, Message, dead_letters, succeed, system};

const DEAD: &str = "events.dead";

async fn an_operator_lists_a_dead_letter_and_replays_it_once_its_cause_is_gone() {
    let system = system()
        .env(Service::Users, "DEMO_DATA", "false")
        .env_of_all("BROKER_RETRY_DELAYS_MS", "100")
        .start()
        .await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    let told = async |arguments: &[&str]| succeed(dead_letters(arguments, &system.amqp_url).await);
    let order = json!({ "id": "o1", "userId": "u1", "items": ["book"], "status": "created" });
    amqp.publish(&Message::event("order.created", &order).id("event-1")).await;
    amqp.wait_depth(DEAD, 1).await;

    for _ in 0..2 {
        let listed = told(&["list", "--limit", "5"]).await;
        for (name, value) in [
            ("key", ""),
            ("queue", "users.order-created"),
            ("routing key", "order.created"),
            ("id", "event-1"),
            ("reason", "no such user"),
            ("attempts", "2"),
            ("failed at", "T"),
            ("body", r#""userId":"u1""#),
        ] {
            let line =
                listed.lines().find(|line| line.starts_with(name)).unwrap_or_else(|| panic!("{listed}"));
            assert!(line.contains(value), "{line:?} without {value:?}");
        }
    }
    let of_another_queue = told(&["replay", "orders.user-created", "--yes"]).await;
    assert_eq!(of_another_queue, "replayed 0, left 1\n");

    assert!(system.users.terminate().await.success());
    system.users.set_env("DEMO_DATA", "true");
    system.users.restart().await;
    let replayed = told(&["replay", "--yes"]).await;

    assert_eq!(replayed, "replayed 1, left 0\n");
    eventually(Duration::from_secs(10), "the order is counted", async || {
        let user = system.api.get("/api/users/u1").await.expect(200).json();
        if user["orderCount"] == 1 { Ok(()) } else { Err(user) }
    })
    .await;
    assert_eq!(told(&["list"]).await, "no dead letters\n");
    system.finish().await;
}

async fn a_broker_that_is_away_or_misnamed_ends_the_command_with_1_and_says_so() {
    let nowhere = format!("amqp://me:secret@127.0.0.1:{}", ports::free());
    for (url, said) in [(nowhere.as_str(), "cannot connect to 127.0.0.1:"), ("amqps://me:secret@host", "TLS")]
    {
        for (arguments, name) in [(vec!["--broker", url], "--broker "), (vec![], "AMQP_URL ")] {
            let output = dead_letters(&[&["list"], &arguments[..]].concat(), url).await;

            let error = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{error}");
            assert!(error.contains(said) && !error.contains("secret"), "{error}");
            assert_eq!(error.contains(name), said == "TLS", "{error}");
        }
    }
}

warren::stories! {
    on both brokers:
        an_operator_lists_a_dead_letter_and_replays_it_once_its_cause_is_gone,
        a_broker_that_is_away_or_misnamed_ends_the_command_with_1_and_says_so;
}
