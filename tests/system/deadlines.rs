//! Nobody works for somebody who no longer waits: how much time is left goes with a request from service to service.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use warren::harness::Setup;

use crate::support::{problem, system};

const TIMEOUT_MS: &str = "X-Request-Timeout-Ms";

/// Users and orders alone, without a broker.
async fn services(setup: Setup) -> warren::harness::System {
    let system = setup.without_broker().prepare().await;
    system.expect_no_broker();
    for child in [&system.users, &system.orders] {
        child.start();
        child.wait_ready().await;
    }
    system
}

async fn what_nobody_waits_for_any_more_is_not_begun() {
    let system = services(system()).await;
    let order = json!({ "userId": "u1", "items": ["book"] });
    let user = json!({ "name": "Grace", "email": "grace@example.com" });

    for call in [
        system.orders.http.post("/orders").json(&order),
        system.users.http.post("/users").json(&user),
        system.users.http.get("/users/u1"),
    ] {
        let refused = call.header(TIMEOUT_MS, "0").await;
        problem(&refused, 503, "too late");
        assert_eq!(refused.header("retry-after"), Some("1"), "{refused}");
    }

    let orders = system.orders.http.get("/orders").await.expect(200).json();
    assert_eq!(orders["items"], json!([]), "a 503 has changed nothing");
    let users = system.users.http.get("/users").await.expect(200).json();
    assert_eq!(users["items"].as_array().map(Vec::len), Some(1), "{users}");
    system.orders.http.post("/orders").header(TIMEOUT_MS, "20000").json(&order).await.expect(201);
    system.finish().await;
}

async fn orders_asks_users_for_no_longer_than_its_caller_waits_and_says_so() {
    /// A tenth of what orders gives the users service by itself.
    const LEFT: Duration = Duration::from_millis(300);
    let (users, mut asked) = silent_users().await;
    let system = services(system().env(warren::service::Service::Orders, "USER_URL", &users)).await;
    let order = json!({ "userId": "u1", "items": ["book"] });

    let begun = Instant::now();
    let left = LEFT.as_millis().to_string();
    let refused = system.orders.http.post("/orders").header(TIMEOUT_MS, &left).json(&order).await;

    problem(&refused, 503, "users unavailable");
    assert!(begun.elapsed() < 8 * LEFT, "orders has waited for {:?}", begun.elapsed());
    let head = asked.recv().await.expect("users was asked").to_lowercase();
    let said = head.lines().find_map(|line| line.strip_prefix("x-request-timeout-ms: "));
    let said: u128 = said.and_then(|said| said.trim().parse().ok()).unwrap_or_else(|| panic!("{head}"));
    assert!(said <= LEFT.as_millis(), "{said}");
    assert_eq!(system.orders.http.get("/orders").await.expect(200).json()["items"], json!([]));
    system.finish().await;
}

/// A users service that takes questions and answers none; the heads that it was sent come out of the channel.
async fn silent_users() -> (String, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let url = format!("http://{}", listener.local_addr().expect("it listens"));
    let (tell, told) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let tell = tell.clone();
            tokio::spawn(async move {
                let mut head = vec![0; 4096];
                let read = stream.read(&mut head).await.unwrap_or(0);
                let _ = tell.send(String::from_utf8_lossy(&head[..read]).into_owned());
                // Held until whoever asked hangs up.
                let _ = stream.read(&mut head).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (url, told)
}

warren::stories! {
    without a broker:
        what_nobody_waits_for_any_more_is_not_begun,
        orders_asks_users_for_no_longer_than_its_caller_waits_and_says_so;
}
