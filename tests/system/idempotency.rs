//! A request with an `Idempotency-Key` is carried out once, however many send it, however often and whoever dies.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use warren::harness::{System, eventually};
use warren::http::{Answer, Http};
use warren::note;

use crate::support::{Tap, problem, system};

const CALLERS: usize = 50;

async fn fifty_callers_with_one_key_place_one_order() {
    let system = system().start().await;
    let tap = Tap::open(&system).await;
    let order = json!({ "userId": "u1", "items": ["book"] });

    let first = at_once(&system, "/api/orders", "key-1", &order, 201).await;

    assert_eq!(items(&system.api, "/api/orders").await.len(), 1);
    let again = keyed(&system.api, "/api/orders", "key-1", &order).await.expect(201);
    same_answer(&again, &first);
    let other = json!({ "userId": "u1", "items": ["pen"] });
    problem(&keyed(&system.api, "/api/orders", "key-1", &other).await, 422, "idempotency key reused");
    keyed(&system.api, "/api/orders", "key-2", &other).await.expect(201);

    system.orders.kill9();
    system.orders.restart().await;
    let after_the_crash = keyed(&system.api, "/api/orders", "key-1", &order).await.expect(201);
    same_answer(&after_the_crash, &first);
    problem(&keyed(&system.api, "/api/orders", "key-1", &other).await, 422, "idempotency key reused");

    assert_eq!(items(&system.api, "/api/orders").await.len(), 2);
    assert_eq!(tap.ids(&system).await.len(), 2, "one event an order");
    wait_order_count(&system, 2).await;
    system.finish().await;
}

async fn fifty_callers_with_one_key_register_one_user_with_a_password() {
    let system = system().start().await;
    let tap = Tap::open(&system).await;
    let user =
        |password: &str| json!({ "name": "Grace", "email": "grace@example.com", "password": password });

    let first = at_once(&system, "/api/users", "key-1", &user("correct horse"), 201).await;

    let again = keyed(&system.api, "/api/users", "key-1", &user("correct horse")).await.expect(201);
    same_answer(&again, &first);
    let other = keyed(&system.api, "/api/users", "key-1", &user("battery staple")).await;
    problem(&other, 422, "idempotency key reused");
    let without_key = system.api.post("/api/users").json(&user("correct horse")).await;
    problem(&without_key, 409, "email taken");

    system.users.kill9();
    system.users.restart().await;
    let after_the_crash = keyed(&system.api, "/api/users", "key-1", &user("correct horse")).await.expect(201);
    same_answer(&after_the_crash, &first);

    assert_eq!(items(&system.api, "/api/users").await.len(), 2, "Grace and the demo's Ada");
    assert_eq!(tap.ids(&system).await.len(), 1, "one event for the one user");
    system.finish().await;
}

async fn fifty_callers_with_one_key_cancel_an_order_once() {
    let system = system().start().await;
    let mut orders = Vec::new();
    for _ in 0..3 {
        let order = system.api.post("/api/orders").json(&json!({ "userId": "u1", "items": ["book"] })).await;
        orders.push(order.expect(201).json()["id"].as_str().expect("an id").to_owned());
    }
    let tap = Tap::open(&system).await;
    let cancel = format!("/api/orders/{}/cancel", orders[0]);

    let first = at_once(&system, &cancel, "key-1", &Value::Null, 200).await;

    assert_eq!(first.json()["status"], "cancelled");
    same_answer(&keyed(&system.api, &cancel, "key-1", &Value::Null).await.expect(200), &first);
    problem(&keyed(&system.api, &cancel, "key-2", &Value::Null).await, 409, "order already cancelled");
    problem(&system.api.post(&cancel).await, 409, "order already cancelled");
    // A key counts for its path alone.
    let of_another_order = format!("/api/orders/{}/cancel", orders[1]);
    let other = keyed(&system.api, &of_another_order, "key-1", &Value::Null).await.expect(200);
    assert_eq!(other.header("idempotency-replayed"), None, "{other}");

    system.orders.kill9();
    system.orders.restart().await;
    same_answer(&keyed(&system.api, &cancel, "key-1", &Value::Null).await.expect(200), &first);

    assert_eq!(tap.ids(&system).await.len(), 2, "one event a cancellation");
    wait_order_count(&system, 1).await;
    system.finish().await;
}

async fn a_refusal_is_not_kept_for_its_key() {
    let system = system().start().await;
    let order = |user: &str| json!({ "userId": user, "items": ["book"] });

    problem(&keyed(&system.api, "/api/orders", "key-1", &order("nobody")).await, 400, "invalid user");
    problem(&keyed(&system.api, "/api/orders", "key-1", &json!({})).await, 422, "invalid fields");
    let placed = keyed(&system.api, "/api/orders", "key-1", &order("u1")).await.expect(201);
    assert_eq!(placed.header("idempotency-replayed"), None, "{placed}");

    system.finish().await;
}

/// Lets all callers send the same at once, checks what each gets, and returns the first answer.
async fn at_once(system: &System, path: &str, key: &str, body: &Value, status: u16) -> Answer {
    // A client of its own for each, so that each has a connection of its own.
    let clients: Vec<Http> = (0..CALLERS).map(|_| Http::new(system.api.base())).collect();
    let answers = join_all(clients.iter().map(|client| keyed(client, path, key, body))).await;

    let (done, refused): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == status);
    for answer in &refused {
        problem(answer, 409, "request in progress");
        let wait = answer.header("retry-after").and_then(|wait| wait.parse::<u64>().ok());
        assert!(wait.is_some_and(|seconds| seconds >= 1), "{answer}");
    }
    let (replayed, first): (Vec<_>, Vec<_>) =
        done.into_iter().partition(|answer| answer.header("idempotency-replayed").is_some());
    note!(
        "{path}: 1 of {CALLERS} did it, {} got it again, {} were told to wait",
        replayed.len(),
        refused.len()
    );
    assert_eq!(first.len(), 1, "{first:?}");
    for answer in &replayed {
        same_answer(answer, &first[0]);
    }
    first.into_iter().next().expect("there is one")
}

/// Checks that `replayed` says that it is a replay and is otherwise what was answered at first.
#[track_caller]
fn same_answer(replayed: &Answer, first: &Answer) {
    assert_eq!(replayed.header("idempotency-replayed"), Some("true"), "{replayed}");
    assert_eq!(first.header("idempotency-replayed"), None, "{first}");
    assert_eq!(replayed.status, first.status);
    assert_eq!(replayed.body, first.body, "{replayed} instead of {first}");
    for header in ["content-type", "location"] {
        assert_eq!(replayed.header(header), first.header(header), "{header}");
    }
}

async fn keyed(http: &Http, path: &str, key: &str, body: &Value) -> Answer {
    let call = http.post(path).header("Idempotency-Key", key);
    if body.is_null() { call.await } else { call.json(body).await }
}

async fn items(api: &Http, path: &str) -> Vec<Value> {
    let list = api.get(&format!("{path}?limit=100")).await.expect(200).json();
    list["items"].as_array().unwrap_or_else(|| panic!("no items in {list}")).clone()
}

async fn wait_order_count(system: &System, expected: u64) {
    eventually(Duration::from_secs(10), &format!("Ada has {expected} orders"), async || {
        let user = system.api.get("/api/users/u1").await.expect(200).json();
        if user["orderCount"] == expected { Ok(()) } else { Err(user) }
    })
    .await;
}

warren::stories! {
    on both brokers:
        fifty_callers_with_one_key_place_one_order,
        fifty_callers_with_one_key_register_one_user_with_a_password,
        fifty_callers_with_one_key_cancel_an_order_once,
        a_refusal_is_not_kept_for_its_key;
}
