//! What strangers can and cannot reach.

use crate::harness::{Gateway, Service};

#[test]
fn the_insides_of_the_services_and_of_the_gateway_are_out_of_reach() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);
    for path in [
        "/metrics",
        "/actors",
        "/actors/proxy-0/fault",
        "/users",
        "/users/u1",
        "/orders",
        "/api",
        "/api/",
        "/api/metrics",
        "/api/users/../metrics",
        "/api/users/../../metrics",
        "/api/users/./../actors",
        "/api/users/%2e%2e/actors",
        "/api/users/%2E%2E/actors",
        "/api/users/.%2e/actors",
        "/api/users/%252e%252e/actors",
        "/api/users/..%2factors",
        "/api/users/..%5cactors",
        "/api/users/..\\actors",
        "/api/users%2f..%2factors",
        "/api/users%2fu1",
        "/api/users/..;/actors",
        "/api%2fusers",
        "/api/usersx",
        "//api/users",
        "//metrics",
        "/api//users",
        "/api/../metrics",
        "/./metrics",
        "/%6detrics",
        "/api/users/%00",
        "http://users/metrics",
        "http://users/api/users/../metrics",
        "*",
    ] {
        for method in ["GET", "POST", "OPTIONS"] {
            let answer = gateway.ask(&format!("{method} {path} HTTP/1.1"));

            assert!(matches!(answer.status, 400 | 404), "{method} {path} gave {}", answer.status);
        }
    }
    assert!(service.seen().is_empty(), "{:?}", service.seen());
}

#[test]
fn whatever_is_passed_on_stays_below_the_route() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);
    for path in [
        "/api/users",
        "/api/users/",
        "/api/users//",
        "/api/users//metrics",
        "/api/users/...",
        "/api/users?../x",
    ] {
        assert_eq!(gateway.ask(&format!("GET {path} HTTP/1.1")).status, 200, "{path}");
    }

    for head in service.seen() {
        let rest = head.target().strip_prefix("/users").unwrap_or_else(|| panic!("{}", head.target()));
        assert!(rest.is_empty() || rest.starts_with(['/', '?']), "{}", head.target());
    }
}

#[test]
fn unknown_paths_and_unsafe_ones_are_problems() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);

    gateway.ask("GET /api/nothing HTTP/1.1").assert_problem(404, "not found");
    gateway.ask("GET /api/users/../x HTTP/1.1").assert_problem(400, "invalid path");
    let delete = gateway.ask("DELETE /health/live HTTP/1.1");
    delete.assert_problem(405, "method not allowed");
    assert_eq!(delete.head.get("allow"), Some("GET, HEAD"));
}
