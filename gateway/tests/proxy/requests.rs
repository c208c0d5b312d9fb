//! What a service sees of a request.

use crate::harness::{Gateway, Service, request};

#[test]
fn the_path_is_mapped_and_the_rest_arrives_as_it_was_sent() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);

    let answer = gateway.ask(
        "PATCH /api/users/J%C3%BCrgen%20x?a=%2F..&b HTTP/1.1
        X-Request-Id: r-7
        Traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01
        Cookie: a=1
        Cookie: b=2; warren_admin=0123abcd
        Cookie: warren_admin=0123abcd
        Connection: keep-alive, X-Hop
        X-Hop: 1
        Keep-Alive: timeout=5
        Proxy-Authorization: Basic x
        TE: trailers
        Trailer: X-Sum
        Upgrade: h2c
        X-Forwarded-For: 1.2.3.4
        Forwarded: for=1.2.3.4",
    );

    assert_eq!((answer.status, answer.body.as_str()), (200, "ok"));
    assert_eq!(answer.head.get("x-request-id"), Some("r-7"));
    assert_eq!(answer.head.get("via"), Some("1.1 warren"));
    let [head] = &service.seen()[..] else { panic!("one request arrives") };
    assert_eq!(head.first, "PATCH /users/J%C3%BCrgen%20x?a=%2F..&b HTTP/1.1");
    assert_eq!(head.get("host"), Some(service.authority().as_str()));
    assert_eq!(head.all("cookie"), ["a=1", "b=2"], "the console's stays here");
    assert_eq!(head.all("x-forwarded-for"), ["127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-host"), ["shop.example"]);
    assert_eq!(head.all("x-forwarded-proto"), ["http"]);
    assert_eq!(head.all("via"), ["1.1 warren"]);
    assert_eq!(head.get("x-request-id"), Some("r-7"));
    let trace = head.get("traceparent").expect("the trace goes along");
    assert!(trace.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-") && !trace.contains("00f067aa0ba902b7"));
    for stripped in
        ["connection", "x-hop", "keep-alive", "proxy-authorization", "te", "trailer", "upgrade", "forwarded"]
    {
        assert_eq!(head.get(stripped), None, "{stripped}");
    }
    assert_eq!((head.get("content-length"), head.get("transfer-encoding")), (None, None));
}

#[test]
fn a_body_keeps_its_length_where_it_has_one_and_comes_in_chunks_where_it_has_none() {
    let service = Service::start(|visit| {
        let body = visit.body()?;
        visit.reply(format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
    });
    let gateway = Gateway::before(&service, &[]);
    let chunked = "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-Trailer: 1\r\n\r\n";
    for (head, framing, body) in [
        ("POST", "Content-Length: 4\r\n\r\nabcd", "abcd"),
        ("POST", "Content-Length: 0\r\n\r\n", ""),
        ("POST", "\r\n", ""),
        ("POST", chunked, "abcd"),
        ("GET", chunked, "abcd"),
        ("GET", "Content-Length: 4\r\n\r\nabcd", "abcd"),
        ("DELETE", "Expect: 100-continue\r\nContent-Length: 4\r\n\r\nabcd", "abcd"),
    ] {
        let mut client = gateway.connect();
        client.send(format!("{head} /api/orders HTTP/1.1\r\nHost: a\r\n{framing}"));
        let mut answer = client.answer(false).expect("a whole answer");
        if answer.status == 100 {
            answer = client.answer(false).expect("a whole answer");
        }

        assert_eq!((answer.status, answer.body.as_str()), (200, body), "{head} {framing}");
        let seen = service.seen().pop().expect("the request arrives");
        let length = framing.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        assert_eq!(seen.get("content-length"), length, "{head} {framing}");
        assert_eq!(seen.get("transfer-encoding").is_some(), framing == chunked, "{head} {framing}");
        assert_eq!(seen.get("expect"), None);
    }
}

#[test]
fn a_trusted_proxy_may_say_for_whom_it_asks() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[("GATEWAY_TRUSTED", "10.0.0.0/8,127.0.0.1")]);

    gateway.ask(
        "GET /api/users HTTP/1.1
        X-Forwarded-For: 198.51.100.1
        X-Forwarded-Proto: https",
    );

    let head = service.seen().pop().expect("the request arrives");
    assert_eq!(head.all("x-forwarded-for"), ["198.51.100.1, 127.0.0.1"]);
    assert_eq!(head.all("x-forwarded-proto"), ["https"]);
}

#[test]
fn the_host_that_counts_is_the_one_in_the_target() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);

    for target in ["http://public.example/api/users", "http://user:secret@public.example/api/users"] {
        let answer = gateway.ask(&format!("GET {target} HTTP/1.1"));

        assert_eq!(answer.status, 200);
        let head = service.seen().pop().expect("the request arrives");
        assert_eq!(head.first, "GET /users HTTP/1.1");
        assert_eq!(head.get("x-forwarded-host"), Some("public.example"));
    }
}

#[test]
fn methods_that_are_not_passed_on_are_refused() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);

    let answer = gateway.ask("TRACE /api/users HTTP/1.1");

    answer.assert_problem(405, "method not allowed");
    assert_eq!(answer.head.get("allow"), Some("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
    assert!(service.seen().is_empty());
}

#[test]
fn a_connection_is_used_again_on_both_sides() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[("HTTP_WORKERS", "1")]);
    let mut client = gateway.connect();

    for _ in 0..20 {
        assert_eq!(client.ask(&request("GET /api/users HTTP/1.1")).status, 200);
    }

    assert_eq!(service.seen().len(), 20);
    assert_eq!(service.connections(), 1, "what the gateway asks by itself has others");
}
