//! Every bad request gets a clear problem, and nothing is stored or published for it.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use warren::harness::{System, eventually};
use warren::http::Call;

use crate::support::{Tap, problem, system, wire};

/// What is stored and published, before and after.
struct Unchanged<'a> {
    system: &'a System,
    tap: Tap,
    users: Value,
    orders: Value,
}

impl<'a> Unchanged<'a> {
    async fn begin(system: &'a System) -> Self {
        let tap = Tap::open(system).await;
        let (users, orders) = stored(system).await;
        Self { system, tap, users, orders }
    }

    /// Checks that nothing was stored and nothing published.
    async fn verify(&self) {
        let (users, orders) = stored(self.system).await;
        assert_eq!(users, self.users, "users");
        assert_eq!(orders, self.orders, "orders");
        for (child, metric) in
            [(&self.system.users, "users_outbox_pending"), (&self.system.orders, "orders_outbox_pending")]
        {
            if child.is_running() {
                assert_eq!(child.metric(metric).await, Some(0.0), "{metric}");
            }
        }
        assert_eq!(self.tap.count().await, 0, "events were published");
    }
}

/// Everything in both lists, as far as the services run.
async fn stored(system: &System) -> (Value, Value) {
    let list = async |child: &warren::harness::Child, path: &str| match child.is_running() {
        true => child.http.get(path).await.expect(200).json(),
        false => Value::Null,
    };
    (list(&system.users, "/users?limit=100").await, list(&system.orders, "/orders?limit=100").await)
}

fn post(system: &System, path: &str, content_type: &str, body: impl Into<String>) -> Call {
    system.api.post(path).header("content-type", content_type).body(body.into())
}

async fn a_body_that_cannot_be_read_is_refused() {
    let system = system().start().await;
    let unchanged = Unchanged::begin(&system).await;

    for path in ["/api/users", "/api/orders"] {
        for malformed in
            ["", " ", "{", "nonsense", "{\"name\":}", "{\"name\":\"Ada\"} more", "{'name':'Ada'}"]
        {
            let answer = post(&system, path, "application/json", malformed).await;
            let problem = problem(&answer, 400, "malformed JSON");
            assert!(problem["detail"].as_str().is_some_and(|detail| detail.contains("line")), "{answer}");
        }
        let not_utf8 =
            system.api.post(path).header("content-type", "application/json").body(&b"\"\xff\""[..]);
        assert_eq!(not_utf8.await.status, 400, "{path}");
        for other in
            ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data"]
        {
            let answer = post(&system, path, other, "{}").await;
            problem(&answer, 415, "unsupported media type");
        }
        problem(&system.api.post(path).body("{}").await, 415, "unsupported media type");
    }
    for (path, wrong) in [
        ("/api/users", json!({ "name": 5, "email": "a@example.com" })),
        ("/api/users", json!({ "name": "Ada", "email": ["a@example.com"] })),
        ("/api/users", json!({ "name": "Ada", "email": "a@example.com", "password": {} })),
        ("/api/users", json!("Ada")),
        ("/api/orders", json!({ "userId": 1, "items": ["book"] })),
        ("/api/orders", json!({ "userId": "u1", "items": "book" })),
        ("/api/orders", json!({ "userId": "u1", "items": ["book", 7] })),
        ("/api/orders", json!({ "userId": "u1", "items": { "0": "book" } })),
        ("/api/orders", json!(null)),
        ("/api/orders", json!(7)),
    ] {
        problem(&system.api.post(path).json(&wrong).await, 400, "invalid body");
    }

    unchanged.verify().await;
    system.finish().await;
}

async fn a_body_over_64_kib_is_refused_however_it_comes() {
    const LIMIT: usize = 64 * 1024;
    let system = system().start().await;
    let unchanged = Unchanged::begin(&system).await;
    let body = |size: usize| {
        let frame = json!({ "userId": "u1", "items": [""] }).to_string().len();
        json!({ "userId": "u1", "items": ["x".repeat(size - frame)] }).to_string()
    };

    for (port, path) in [(system.gateway.port(), "/api/orders"), (system.orders.port(), "/orders")] {
        // A body of just the limit is read: its item is too long.
        for (size, status) in [(LIMIT, 422), (LIMIT + 1, 413), (LIMIT + 20_000, 413), (1_000_000, 413)] {
            let body = body(size);
            assert_eq!(body.len(), size);
            let head = format!(
                "POST {path} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\nconnection: close\r\n"
            );
            let plain = format!("{head}content-length: {size}\r\n\r\n{body}");
            let chunks: Vec<String> = body
                .as_bytes()
                .chunks(10_000)
                .map(|chunk| format!("{:x}\r\n{}\r\n", chunk.len(), String::from_utf8_lossy(chunk)))
                .collect();
            let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n{}0\r\n\r\n", chunks.concat());

            for (how, request) in [("with a length", plain), ("in chunks", chunked)] {
                let answer = wire::exchange(port, request).await;
                assert_eq!(wire::status(&answer), status, "{size} bytes {how} to {path}: {answer}");
                assert!(answer.contains("application/problem+json"), "{answer}");
                if status == 413 {
                    assert!(answer.contains(r#""error":"body too large""#), "{answer}");
                }
            }
        }
    }

    unchanged.verify().await;
    system.finish().await;
}

async fn every_field_that_is_wrong_is_named_once() {
    let system = system().start().await;
    let unchanged = Unchanged::begin(&system).await;
    let (long, book) = ("x".repeat(201), "book".to_owned());
    let password = |password: &str| json!({ "name": "Ada", "email": "a@example.com", "password": password });

    for (path, body, fields) in [
        ("users", json!({}), &["name", "email"][..]),
        ("users", json!({ "name": null, "email": null }), &["name", "email"]),
        ("users", json!({ "name": "", "email": "" }), &["name", "email"]),
        ("users", json!({ "name": " \t", "email": "a@example.com" }), &["name"]),
        ("users", json!({ "name": long, "email": "a@example.com" }), &["name"]),
        ("users", json!({ "name": "A\u{0}da", "email": "a@example.com" }), &["name"]),
        ("users", json!({ "name": "Ada", "email": "nonsense" }), &["email"]),
        ("users", json!({ "name": "Ada", "email": format!("{long}{long}@example.com") }), &["email"]),
        ("users", json!({ "email": "@", "password": "short" }), &["name", "email", "password"]),
        ("users", password(""), &["password"]),
        ("users", password(&"x".repeat(129)), &["password"]),
        ("orders", json!({}), &["userId", "items"]),
        ("orders", json!({ "userId": null, "items": null }), &["userId", "items"]),
        ("orders", json!({ "userId": "", "items": [] }), &["userId", "items"]),
        ("orders", json!({ "userId": "u".repeat(65), "items": ["book"] }), &["userId"]),
        ("orders", json!({ "userId": "u1", "items": vec![&book; 101] }), &["items"]),
        (
            "orders",
            json!({ "userId": "u1", "items": ["book", "", " ", long] }),
            &["items[1]", "items[2]", "items[3]"],
        ),
    ] {
        let answer = system.api.post(&format!("/api/{path}")).json(&body).await;

        let problem = problem(&answer, 422, "invalid fields");
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors in {answer}"));
        let named: Vec<&str> = errors.iter().filter_map(|error| error["field"].as_str()).collect();
        assert_eq!(named, fields, "{answer}");
        assert!(
            errors.iter().all(|error| error["message"].as_str().is_some_and(|text| !text.is_empty())),
            "{answer}"
        );
    }

    unchanged.verify().await;
    system.finish().await;
}

async fn what_is_not_there_cannot_be_done_or_makes_no_sense_is_refused() {
    let system = system().start().await;
    let unchanged = Unchanged::begin(&system).await;
    let long_key = "k".repeat(256);

    for (method, path, status, error) in [
        (Method::GET, "/api/users/nobody", 404, "user not found"),
        (Method::GET, "/api/users/%C3%BC", 404, "user not found"),
        (Method::GET, "/api/orders/none", 404, "order not found"),
        (Method::POST, "/api/orders/none/cancel", 404, "order not found"),
        (Method::GET, "/", 404, "not found"),
        (Method::GET, "/api", 404, "not found"),
        (Method::GET, "/api/nothing", 404, "not found"),
        (Method::GET, "/users/u1", 404, "not found"),
        (Method::GET, "/api/users/u1/orders", 404, "not found"),
        (Method::POST, "/api/orders/none/pay", 404, "not found"),
        (Method::GET, "/api/users?limit=0", 400, "invalid limit"),
        (Method::GET, "/api/users?limit=101", 400, "invalid limit"),
        (Method::GET, "/api/users?limit=ten", 400, "invalid limit"),
        (Method::GET, "/api/orders?limit=", 400, "invalid limit"),
        (Method::GET, "/api/orders?limit=-1", 400, "invalid limit"),
        (Method::GET, "/api/users?cursor=***", 400, "invalid cursor"),
        (Method::GET, "/api/orders?cursor=", 400, "invalid cursor"),
        (Method::GET, "/api/orders?cursor=_w", 400, "invalid cursor"),
        (Method::GET, "/api/orders?userId=a/b", 400, "invalid user"),
    ] {
        let answer = system.api.call(method.clone(), path).await;
        problem(&answer, status, error);
    }
    for (method, path, allowed) in [
        (Method::DELETE, "/api/users", ["GET", "HEAD", "POST"].as_slice()),
        (Method::PUT, "/api/users/u1", &["GET", "HEAD"]),
        (Method::PATCH, "/api/orders", &["GET", "HEAD", "POST"]),
        (Method::DELETE, "/api/orders/none", &["GET", "HEAD"]),
        (Method::GET, "/api/orders/none/cancel", &["POST"]),
    ] {
        let answer = system.api.call(method, path).await;
        problem(&answer, 405, "method not allowed");
        let allow = answer.header("allow").unwrap_or_else(|| panic!("no Allow in {answer}"));
        let mut methods: Vec<&str> = allow.split(',').map(str::trim).collect();
        methods.sort_unstable();
        assert_eq!(methods, allowed, "{answer}");
    }
    for keys in [&[""][..], &[" "], &["tab\there"], &[&long_key], &["one", "two"]] {
        let order = json!({ "userId": "u1", "items": ["book"] });
        let call = system.api.post("/api/orders").json(&order);
        let answer = keys.iter().fold(call, |call, key| call.header("Idempotency-Key", key)).await;
        problem(&answer, 400, "invalid idempotency key");
    }

    unchanged.verify().await;
    system.finish().await;
}

async fn an_address_is_taken_in_whatever_case_it_is_written() {
    let system = system().start().await;
    let register = async |email: &str| {
        system.api.post("/api/users").json(&json!({ "name": "Grace", "email": email })).await
    };
    register("Grace@Example.com").await.expect(201);
    let unchanged = Unchanged::begin(&system).await;

    for email in [
        "Grace@Example.com",
        "grace@example.com",
        "GRACE@EXAMPLE.COM",
        " grace@Example.com ",
        "ADA@example.com",
    ] {
        problem(&register(email).await, 409, "email taken");
    }

    unchanged.verify().await;
    system.finish().await;
}

async fn an_order_for_nobody_is_refused() {
    let system = system().start().await;
    let unchanged = Unchanged::begin(&system).await;

    for user in ["nobody", "..", "u1/../u1", "u1?x=y", "u1#", "%75%31", "u1 ", "ü"] {
        let answer = system.api.post("/api/orders").json(&json!({ "userId": user, "items": ["book"] })).await;
        problem(&answer, 400, "invalid user");
    }

    unchanged.verify().await;
    system.finish().await;
}

async fn while_users_is_away_no_order_is_placed_and_none_hangs() {
    const DEADLINE: Duration = Duration::from_secs(3);
    const MARGIN: Duration = Duration::from_secs(1);
    let system = system().start().await;
    let unchanged = Unchanged::begin(&system).await;
    let place = async || {
        let asked = Instant::now();
        let answer = system.api.post("/api/orders").json(&json!({ "userId": "u1", "items": ["book"] })).await;
        (answer, asked.elapsed())
    };
    let refused = async |what: &str| {
        // More than five, so that the breaker opens on the way.
        for _ in 0..4 {
            let (answer, took) = place().await;
            problem(&answer, 503, "users unavailable");
            assert!(took < DEADLINE + MARGIN, "{what}: refused after {took:?}");
            let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
            assert!(wait.is_some_and(|seconds| seconds >= 1), "{what}: {answer}");
        }
    };

    system.users.stop();
    refused("users is silent").await;
    system.users.cont();
    works_again(&system).await;
    system.users.kill9();
    refused("users is dead").await;
    system.orders.wait_ready().await;
    assert_eq!(
        system.orders.http.get("/orders").await.expect(200).json()["items"].as_array().map(Vec::len),
        Some(1)
    );
    system.users.restart().await;
    works_again(&system).await;

    let orders = system.orders.http.get("/orders").await.expect(200).json();
    assert_eq!(orders["items"].as_array().map(Vec::len), Some(2), "only those that were answered with 201");
    assert_eq!(unchanged.tap.take(2).await.len(), 2);
    eventually(Duration::from_secs(5), "both are counted", async || {
        let user = system.api.get("/api/users/u1").await.expect(200).json();
        if user["orderCount"] == 2 { Ok(()) } else { Err(user) }
    })
    .await;
    assert_eq!(unchanged.tap.count().await, 0, "an event for each order, and no more");
    system.finish().await;
}

async fn works_again(system: &System) {
    eventually(Duration::from_secs(10), "an order is placed", async || {
        let answer = system.api.post("/api/orders").json(&json!({ "userId": "u1", "items": ["book"] })).await;
        if answer.status == 201 { Ok(()) } else { Err(answer) }
    })
    .await;
}

warren::stories! {
    on both brokers:
        a_body_that_cannot_be_read_is_refused,
        a_body_over_64_kib_is_refused_however_it_comes,
        every_field_that_is_wrong_is_named_once,
        what_is_not_there_cannot_be_done_or_makes_no_sense_is_refused,
        an_address_is_taken_in_whatever_case_it_is_written,
        an_order_for_nobody_is_refused,
        while_users_is_away_no_order_is_placed_and_none_hangs;
}
