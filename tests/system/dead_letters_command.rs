//! An operator lists the dead letters and sends them back, by `warren dead-letters`.

use std::process::Output;
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
    let admin = system.gateway.internal.base();
    let told = async |arguments: &[&str]| succeed(dead_letters(arguments, admin).await);
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

async fn whatever_keeps_the_command_from_it_is_said_and_ends_it_with_1() {
    const TOKEN: &str = "correct-horse-battery-staple-0123";
    let system = system().without_broker().env(Service::Gateway, "ADMIN_TOKEN", TOKEN).start().await;
    let (admin, public) = (system.gateway.internal.base(), system.api.base());
    let nobody = format!("http://127.0.0.1:{}", ports::free());

    refused(&["list"], &nobody, &[&format!("no gateway answers at {nobody}"), "cargo up", "--admin"]).await;
    refused(&["list"], "127.0.0.1:8081", &["--admin must look like http://127.0.0.1:8081"]).await;
    refused(&["list"], public, &["is no admin port of a gateway"]).await;
    refused(&["replay", "--yes"], admin, &["wants a token: give it by --token or ADMIN_TOKEN"]).await;
    refused(&["replay", "--yes", "--token", "wrong"], admin, &["wants another token"]).await;
    refused(&["list", "--limit", "501", "--token", TOKEN], admin, &["a number from 1 to 500"]).await;
    let away: [&[&str]; 4] = [
        &["list", "--token", TOKEN],
        &["replay", "--yes", "--token", TOKEN],
        &["replay", "--key", "0123456789abcdef", "--yes", "--token", TOKEN],
        &["discard", "--key", "0123456789abcdef", "--yes", "--token", TOKEN],
    ];
    for arguments in away {
        refused(arguments, admin, &["broker away", "cannot connect to 127.0.0.1:"]).await;
    }
    system.expect_no_broker();
    system.finish().await;
}

/// It says all of this and ends with 1.
async fn refused(arguments: &[&str], admin: &str, said: &[&str]) {
    let Output { status, stderr, .. } = dead_letters(arguments, admin).await;
    let error = String::from_utf8_lossy(&stderr);
    assert_eq!(status.code(), Some(1), "{arguments:?}: {error}");
    assert!(said.iter().all(|said| error.contains(said)), "{arguments:?}: {error}, not {said:?}");
}

warren::stories! {
    on both brokers:
        an_operator_lists_a_dead_letter_and_replays_it_once_its_cause_is_gone;
    without a broker:
        whatever_keeps_the_command_from_it_is_said_and_ends_it_with_1;
}
