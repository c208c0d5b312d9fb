//! A client that asks before it sends its body is told to go on only when the body is wanted.

use crate::harness::{Client, Gateway, Service, request};

fn ask(path: &str, framing: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n")
}

/// A service that says how long each body was, after an answer of its own to the question.
fn measuring() -> Service {
    Service::start(|visit| {
        visit.reply("HTTP/1.1 100 Continue\r\n\r\n")?;
        let length = visit.body()?.len().to_string();
        visit.reply(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{length}", length.len()))
    })
}

/// Reads the next answer, which must not be the one to go on.
fn refusal(client: &mut Client, head: &str) -> crate::harness::Answer {
    let answer = client.ask(head);
    assert!(answer.closes(), "nobody knows whether the body still comes: {answer:?}");
    assert_eq!(client.until_closed().expect("the gateway closes it"), "");
    answer
}

#[test]
fn who_asks_is_told_to_go_on_once_and_then_answered() {
    let service = measuring();
    let settings = "[[routes]]\npath = \"/api/orders\"\ntarget = \"/orders\"\nupstream = \"orders\"\n";
    let gateway = Gateway::configured(&service, settings, &[]);
    let mut client = gateway.connect();
    let large = "x".repeat(200_000);
    let chunked = format!("{:x}\r\n{large}\r\n0\r\n\r\n", large.len());
    for (framing, body, length) in [
        ("Content-Length: 5".to_owned(), "hello", "5"),
        (format!("Content-Length: {}", large.len()), large.as_str(), "200000"),
        ("Transfer-Encoding: chunked".to_owned(), chunked.as_str(), "200000"),
    ] {
        assert_eq!(client.ask(&ask("/api/orders", &framing)).status, 100, "{framing}");
        client.send(body);

        let answer = client.answer(false).expect("a whole answer");
        assert_eq!((answer.status, answer.body.as_str()), (200, length), "{framing}");
        let seen = service.seen().pop().expect("the request arrives");
        assert_eq!(seen.get("expect"), None);
    }
}

#[test]
fn who_does_not_wait_is_not_told() {
    let gateway = Gateway::before(&measuring(), &[]);
    let old = "POST /api/orders HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    for (head, body) in [
        (ask("/api/orders", "Content-Length: 5"), "hello"),
        (ask("/api/orders", "Content-Length: 0"), ""),
        (ask("/api/orders", "X: y"), ""),
        (old.to_owned(), "hello"),
    ] {
        let answer = gateway.connect().ask(&(head.clone() + body));

        assert_eq!((answer.status, answer.body), (200, body.len().to_string()), "{head}");
    }
}

#[test]
fn whose_body_is_not_wanted_is_not_told_to_send_it() {
    let service = Service::ok();
    let closed = Gateway::before(&service, &[("AUTH", "required")]);
    let limited = Gateway::before(&service, &[("RATE_LIMIT", "1/60")]);
    let open = Gateway::before(&service, &[]);
    assert_eq!(limited.ask("GET /api/users HTTP/1.1").status, 200);
    let before = service.seen().len();
    let small = "Content-Length: 5";
    for (gateway, path, framing, status, error) in [
        (&closed, "/api/orders", small, 401, "token required"),
        (&closed, "/api/orders", "Transfer-Encoding: chunked", 401, "token required"),
        (&limited, "/api/orders", small, 429, "too many requests"),
        (&open, "/api/orders", "Content-Length: 65537", 413, "body too large"),
        (&open, "/api/orders", "Content-Length: 9999999999999999999", 413, "body too large"),
        (&open, "/nowhere", small, 404, "not found"),
        (&open, "/api/orders/%2e%2e/x", small, 400, "invalid path"),
        (&open, "/health/live", small, 405, "method not allowed"),
    ] {
        let answer = refusal(&mut gateway.connect(), &ask(path, framing));

        answer.assert_problem(status, error);
    }
    assert_eq!(service.seen().len(), before, "none of them arrives");
}

#[test]
fn another_expectation_cannot_be_met() {
    let gateway = Gateway::before(&Service::ok(), &[]);

    let answer = gateway.ask("POST /api/orders HTTP/1.1\nExpect: a-miracle\nContent-Length: 5");

    answer.assert_problem(417, "expectation failed");
    assert_eq!(gateway.connect().ask(&request("GET /api/users HTTP/1.1")).status, 200);
}
