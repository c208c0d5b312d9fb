//! A request keeps its id and its trace wherever it goes: back to the client, on to other services, into every log.

use std::time::Duration;

use serde_json::json;
use uuid::Uuid;
use warren::harness::{Child, System, eventually};
use warren::http::Answer;

use crate::support::{problem, system};

const TRACE_ID: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const TRACEPARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

async fn start() -> System {
    system().env_of_all("RUST_LOG", "debug").start().await
}

async fn a_requests_id_and_trace_go_with_it_through_every_service() {
    let system = start().await;
    let order = json!({ "userId": "u1", "items": ["book"] });

    let call = system.api.post("/api/orders").json(&order);
    let placed = call.header("x-request-id", "order-7").header("traceparent", TRACEPARENT).await.expect(201);

    assert_eq!(placed.header("x-request-id"), Some("order-7"));
    for (child, route) in [
        (&system.gateway, "method=POST route=/api/orders"),
        (&system.orders, "method=POST route=/orders "),
        (&system.users, "method=GET route=/users/{id} "),
    ] {
        let line = access_line(child, route, "order-7").await;
        assert!(line.contains(&format!("trace_id={TRACE_ID}")), "{line}");
    }
    system.finish().await;
}

async fn a_request_without_an_id_or_trace_gets_one_that_is_the_same_everywhere() {
    let system = start().await;
    let order = json!({ "userId": "u1", "items": ["book"] });

    let mut traces = Vec::new();
    for _ in 0..2 {
        let placed = system.api.post("/api/orders").json(&order).await.expect(201);
        let id = id_of(&placed);
        let mut of_request = Vec::new();
        for (child, route) in [
            (&system.gateway, "route=/api/orders"),
            (&system.orders, "route=/orders "),
            (&system.users, "route=/users/{id} "),
        ] {
            let line = access_line(child, route, &id).await;
            let trace = line.split("trace_id=").nth(1).unwrap_or_else(|| panic!("no trace in {line}"));
            of_request.push(trace.trim().to_owned());
        }
        of_request.dedup();
        assert_eq!(of_request.len(), 1, "one trace in all services, not {of_request:?}");
        assert_eq!(of_request[0].len(), 32, "{of_request:?}");
        traces.push((id, of_request.remove(0)));
    }
    assert_ne!(traces[0].0, traces[1].0);
    assert_ne!(traces[0].1, traces[1].1);
    system.finish().await;
}

async fn what_could_break_a_log_line_is_not_taken_for_an_id_or_a_trace() {
    let system = start().await;
    let long = "x".repeat(129);

    for bad in ["two words", "quo\"te", "back\\slash", &long] {
        for http in [&system.api, &system.users.http] {
            let path = if http.base() == system.api.base() { "/api/users/u1" } else { "/users/u1" };
            let answer = http.get(path).header("x-request-id", bad).await.expect(200);
            assert_ne!(id_of(&answer), bad);
        }
    }
    for bad in [
        "nonsense",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        let answer = system.api.get("/api/users/u1").header("traceparent", bad).await.expect(200);
        let line = access_line(&system.users, "route=/users/{id} ", &id_of(&answer)).await;
        assert!(!line.contains(TRACE_ID) && !line.contains("trace_id=000000"), "{bad}: {line}");
    }
    system.finish().await;
}

async fn every_problem_names_its_request_whoever_refuses() {
    let system = start().await;
    let nobody = json!({ "userId": "nobody", "items": ["book"] });

    for (number, (call, status, error)) in [
        (system.api.get("/nowhere"), 404, "not found"),
        (system.api.get("/api/users/nobody"), 404, "user not found"),
        (system.api.get("/api/users?limit=0"), 400, "invalid limit"),
        (system.api.post("/api/users").json(&json!({})), 422, "invalid fields"),
        (system.api.post("/api/users").json(&json!([])), 400, "invalid body"),
        (system.api.post("/api/orders").body("text"), 415, "unsupported media type"),
        (system.api.post("/api/orders").json(&nobody), 400, "invalid user"),
        (system.api.call(http::Method::DELETE, "/api/orders"), 405, "method not allowed"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("problem-{number}");
        let answer = call.header("x-request-id", &id).await;
        assert_eq!(problem(&answer, status, error)["requestId"], *id, "{answer}");
    }
    let direct = system.orders.http.get("/orders/none").header("x-request-id", "direct").await;
    assert_eq!(problem(&direct, 404, "order not found")["requestId"], "direct");
    let made = system.api.get("/api/users/nobody").await;
    problem(&made, 404, "user not found");
    id_of(&made);
    system.finish().await;
}

/// The id that was made for a request: a UUID of version 7.
#[track_caller]
fn id_of(answer: &Answer) -> String {
    let id = answer.header("x-request-id").unwrap_or_else(|| panic!("no request id in {answer}"));
    let version = Uuid::try_parse(id).map(|id| id.get_version_num());
    assert_eq!(version, Ok(7), "{id}");
    id.to_owned()
}

/// Waits for the line of the child's log that tells of the request.
async fn access_line(child: &Child, route: &str, request_id: &str) -> String {
    let what = format!("{} logs {route} of {request_id}", child.service());
    let wanted = format!("request_id={request_id} ");
    eventually(Duration::from_secs(5), &what, async || {
        let log = child.log();
        let is_wanted =
            |line: &&str| line.contains("event=request ") && line.contains(route) && line.contains(&wanted);
        log.lines().find(is_wanted).map(str::to_owned).ok_or("no such line")
    })
    .await
}

warren::stories! {
    on both brokers:
        a_requests_id_and_trace_go_with_it_through_every_service,
        a_request_without_an_id_or_trace_gets_one_that_is_the_same_everywhere,
        what_could_break_a_log_line_is_not_taken_for_an_id_or_a_trace,
        every_problem_names_its_request_whoever_refuses;
}
