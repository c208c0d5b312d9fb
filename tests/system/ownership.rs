//! Everybody sees and changes what is its own, an admin everything, and a service that is asked by another one too.
//!
//! The tests stand where the gateway stands: they say who asks in the two headers that it writes.

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use warren::harness::System;
use warren::http::{Call, Http};

use crate::support::{problem, system};

const SUBJECT: &str = "X-Warren-Subject";
const ROLE: &str = "X-Warren-Role";

/// Users and orders alone, without a broker.
async fn services() -> System {
    let system = system().without_broker().prepare().await;
    system.expect_no_broker();
    for child in [&system.users, &system.orders] {
        child.start();
    }
    join_all([&system.users, &system.orders].map(|child| child.wait_ready())).await;
    system
}

/// Somebody who asks.
#[derive(Clone, Copy)]
enum Who<'a> {
    User(&'a str),
    Admin,
    Trusted,
}

impl Who<'_> {
    fn asks(self, call: Call) -> Call {
        match self {
            Self::User(id) => call.header(SUBJECT, id).header(ROLE, "user"),
            Self::Admin => call.header(SUBJECT, "root").header(ROLE, "admin"),
            Self::Trusted => call,
        }
    }
}

async fn register(users: &Http, email: &str) -> String {
    let user = json!({ "name": "Grace", "email": email });
    let registered = users.post("/users").json(&user).await.expect(201).json();
    registered["id"].as_str().expect("an id").to_owned()
}

fn order_for(user: &str) -> Value {
    json!({ "userId": user, "items": ["book"] })
}

async fn place(orders: &Http, user: &str) -> String {
    let placed = orders.post("/orders").json(&order_for(user)).await.expect(201).json();
    placed["id"].as_str().expect("an id").to_owned()
}

async fn ids(call: Call) -> Vec<String> {
    let list = call.await.expect(200).json();
    let items = list["items"].as_array().expect("items").clone();
    items.iter().map(|item| item["id"].as_str().expect("an id").to_owned()).collect()
}

async fn a_user_sees_itself_and_an_admin_everybody() {
    let system = services().await;
    let users = &system.users.http;
    let grace = register(users, "grace@example.com").await;
    let (of_grace, of_ada) = (format!("/users/{grace}"), "/users/u1".to_owned());

    for method in [Method::GET, Method::HEAD] {
        let get = |who: Who<'_>, path: &str| who.asks(users.call(method.clone(), path));
        assert_eq!(get(Who::User(&grace), &of_grace).await.status, 200);
        assert_eq!(get(Who::User(&grace), &of_ada).await.status, 403);
        assert_eq!(get(Who::User(&grace), "/users/nobody").await.status, 403, "nobody learns who there is");
        for all in [Who::Admin, Who::Trusted] {
            assert_eq!(get(all, &of_grace).await.status, 200);
            assert_eq!(get(all, "/users/nobody").await.status, 404);
            assert_eq!(get(all, "/users").await.status, 200);
        }
        assert_eq!(get(Who::User(&grace), "/users").await.status, 403);
    }
    problem(&Who::User(&grace).asks(users.get(&of_ada)).await, 403, "forbidden");
    problem(&Who::User(&grace).asks(users.get("/users")).await, 403, "forbidden");
    let open = Who::User(&grace).asks(users.post("/users"));
    open.json(&json!({ "name": "Alan", "email": "alan@example.com" })).await.expect(201);
    system.finish().await;
}

async fn a_user_orders_for_itself_and_an_admin_for_everybody() {
    let system = services().await;
    let orders = &system.orders.http;
    let grace = register(&system.users.http, "grace@example.com").await;
    let post = |who: Who<'_>, user: &str| who.asks(orders.post("/orders")).json(&order_for(user));

    post(Who::User(&grace), &grace).await.expect(201);
    problem(&post(Who::User(&grace), "u1").await, 403, "forbidden");
    problem(&post(Who::User(&grace), "nobody").await, 403, "forbidden");
    post(Who::Admin, "u1").await.expect(201);
    post(Who::Trusted, "u1").await.expect(201);
    problem(&post(Who::Admin, "nobody").await, 400, "invalid user");
    let missing = Who::User(&grace).asks(orders.post("/orders")).json(&json!({ "items": ["book"] })).await;
    problem(&missing, 422, "invalid fields");

    assert_eq!(ids(orders.get("/orders")).await.len(), 3, "nothing was stored for who may not");
    system.finish().await;
}

async fn a_user_sees_its_own_orders() {
    let system = services().await;
    let orders = &system.orders.http;
    let grace = register(&system.users.http, "grace@example.com").await;
    let (of_grace, of_ada) = (place(orders, &grace).await, place(orders, "u1").await);
    let only_hers = vec![of_grace.clone()];
    let get = |who: Who<'_>, path: &str| who.asks(orders.get(path));

    get(Who::User(&grace), &format!("/orders/{of_grace}")).await.expect(200);
    problem(&get(Who::User(&grace), &format!("/orders/{of_ada}")).await, 403, "forbidden");
    problem(&get(Who::User(&grace), "/orders/none").await, 404, "order not found");
    get(Who::Admin, &format!("/orders/{of_ada}")).await.expect(200);
    let head = Who::User(&grace).asks(orders.call(Method::HEAD, &format!("/orders/{of_ada}"))).await;
    assert_eq!(head.status, 403);

    assert_eq!(ids(get(Who::User(&grace), "/orders")).await, only_hers, "its own without asking");
    let own = format!("/orders?userId={grace}");
    assert_eq!(ids(get(Who::User(&grace), &own)).await, only_hers);
    problem(&get(Who::User(&grace), "/orders?userId=u1").await, 403, "forbidden");
    problem(&get(Who::User(&grace), "/orders?userId=nobody").await, 403, "forbidden");
    for all in [Who::Admin, Who::Trusted] {
        assert_eq!(ids(get(all, "/orders")).await, [of_grace.clone(), of_ada.clone()]);
        assert_eq!(ids(get(all, &own)).await, only_hers);
    }
    // Somebody whose name could never be a customer's.
    problem(&get(Who::User("a/b"), "/orders").await, 403, "forbidden");
    system.finish().await;
}

async fn a_user_cancels_its_own_orders() {
    let system = services().await;
    let orders = &system.orders.http;
    let grace = register(&system.users.http, "grace@example.com").await;
    let (of_grace, of_ada) = (place(orders, &grace).await, place(orders, "u1").await);
    let cancel = |who: Who<'_>, order: &str| who.asks(orders.post(&format!("/orders/{order}/cancel")));

    problem(&cancel(Who::User(&grace), &of_ada).await, 403, "forbidden");
    assert_eq!(orders.get(&format!("/orders/{of_ada}")).await.json()["status"], "created");
    cancel(Who::User(&grace), &of_grace).await.expect(200);
    cancel(Who::Admin, &of_ada).await.expect(200);
    problem(&cancel(Who::User(&grace), &of_ada).await, 403, "forbidden");
    problem(&cancel(Who::User(&grace), &of_grace).await, 409, "order already cancelled");
    problem(&cancel(Who::User(&grace), "none").await, 404, "order not found");
    system.finish().await;
}

async fn nobody_is_answered_with_what_somebody_else_did() {
    let system = services().await;
    let (users, orders) = (&system.users.http, &system.orders.http);
    let grace = register(users, "grace@example.com").await;
    let keyed = |who: Who<'_>, path: &str| who.asks(orders.post(path)).header("Idempotency-Key", "key-1");

    let first = keyed(Who::User(&grace), "/orders").json(&order_for(&grace)).await.expect(201);
    let again = keyed(Who::User(&grace), "/orders").json(&order_for(&grace)).await.expect(201);
    assert_eq!((again.header("idempotency-replayed"), &again.body), (Some("true"), &first.body));

    // The same request under the same key by somebody else is another request.
    problem(&keyed(Who::User("u1"), "/orders").json(&order_for(&grace)).await, 403, "forbidden");
    for other in [Who::Admin, Who::Trusted] {
        let answer = keyed(other, "/orders").json(&order_for(&grace)).await.expect(201);
        assert_eq!(answer.header("idempotency-replayed"), None, "{answer}");
        assert_ne!(answer.body, first.body);
    }
    let own = keyed(Who::User("u1"), "/orders").json(&order_for("u1")).await.expect(201);
    assert_eq!(own.header("idempotency-replayed"), None, "{own}");

    // A cancellation replays nobody's order either.
    let id = first.json()["id"].as_str().expect("an id").to_owned();
    let cancel = format!("/orders/{id}/cancel");
    keyed(Who::User(&grace), &cancel).await.expect(200);
    keyed(Who::User(&grace), &cancel).await.expect(200);
    problem(&keyed(Who::User("u1"), &cancel).await, 403, "forbidden");

    // Nor a registration.
    let alan = json!({ "name": "Alan", "email": "alan@example.com" });
    let register =
        |who: Who<'_>| who.asks(users.post("/users")).header("Idempotency-Key", "key-2").json(&alan);
    register(Who::User(&grace)).await.expect(201);
    register(Who::User(&grace)).await.expect(201);
    problem(&register(Who::User("u1")).await, 409, "email taken");
    system.finish().await;
}

async fn an_identity_that_is_not_clear_is_refused_everywhere() {
    let system = services().await;
    let (users, orders) = (&system.users.http, &system.orders.http);
    let before = place(orders, "u1").await;

    for headers in [
        &[(SUBJECT, "u1")][..],
        &[(ROLE, "admin")],
        &[(SUBJECT, "u1"), (SUBJECT, "u2"), (ROLE, "user")],
        &[(SUBJECT, "u1"), (ROLE, "user"), (ROLE, "admin")],
        &[(SUBJECT, "u1"), (ROLE, "ADMIN")],
        &[(SUBJECT, ""), (ROLE, "admin")],
    ] {
        for call in [
            users.get("/users"),
            users.get("/users/u1"),
            orders.get("/orders"),
            orders.get(&format!("/orders/{before}")),
            orders.post("/orders").json(&order_for("u1")),
            orders.post(&format!("/orders/{before}/cancel")),
        ] {
            let call = headers.iter().fold(call, |call, (name, value)| call.header(name, value));
            problem(&call.await, 400, "invalid identity");
        }
    }
    assert_eq!(ids(orders.get("/orders")).await, [before], "and nothing was stored");
    system.finish().await;
}

warren::stories! {
    without a broker:
        a_user_sees_itself_and_an_admin_everybody,
        a_user_orders_for_itself_and_an_admin_for_everybody,
        a_user_sees_its_own_orders,
        a_user_cancels_its_own_orders,
        nobody_is_answered_with_what_somebody_else_did,
        an_identity_that_is_not_clear_is_refused_everywhere;
}
