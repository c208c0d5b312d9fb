//! What a client sees of an answer.

use crate::harness::{Gateway, Service, request};

#[test]
fn an_answer_loses_only_what_concerns_the_connection() {
    let service = Service::answering(
        "HTTP/1.1 201 Created\r\nContent-Length: 2\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nETag: \"x\"\r\n\
         Connection: X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\nProxy-Authenticate: Basic\r\n\r\nok",
    );
    let gateway = Gateway::before(&service, &[]);

    let answer = gateway.ask("POST /api/users HTTP/1.1");

    assert_eq!((answer.status, answer.body.as_str()), (201, "ok"));
    assert_eq!(answer.head.all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(answer.head.all("etag"), ["\"x\""]);
    assert_eq!(answer.head.all("content-length"), ["2"]);
    for stripped in ["connection", "x-hop", "keep-alive", "proxy-authenticate", "transfer-encoding"] {
        assert_eq!(answer.head.get(stripped), None, "{stripped}");
    }
}

#[test]
fn locations_get_their_public_names() {
    let service = Service::start(|visit| {
        let location = visit.head.get("x-location").unwrap_or_default().to_owned();
        visit.reply(format!("HTTP/1.1 201 Created\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"))
    });
    let gateway = Gateway::before(&service, &[]);
    let absolute = format!("http://{}/users/u1", service.authority());
    for (location, public) in [
        ("/users/u1", "/api/users/u1"),
        ("/orders?cursor=x", "/api/orders?cursor=x"),
        (absolute.as_str(), "/api/users/u1"),
        ("https://elsewhere.example/users/u1", "https://elsewhere.example/users/u1"),
        ("u1", "u1"),
    ] {
        let answer = gateway.ask(&format!("POST /api/users HTTP/1.1\nX-Location: {location}"));

        assert_eq!(answer.head.get("location"), Some(public));
    }
}

#[test]
fn answers_without_a_body_say_what_the_service_said() {
    for (method, bytes, status, length) in [
        ("HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\n\r\n", 200, Some("1234")),
        ("HEAD", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 200, None),
        ("HEAD", "HTTP/1.1 404 Not Found\r\nContent-Length: 7\r\n\r\n", 404, Some("7")),
        ("GET", "HTTP/1.1 204 No Content\r\n\r\n", 204, None),
        ("GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", 304, Some("99")),
        ("GET", "HTTP/1.1 304 Not Modified\r\n\r\n", 304, None),
        ("GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, Some("0")),
        ("GET", "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, Some("0")),
        ("DELETE", "HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n", 405, Some("0")),
    ] {
        let service = Service::answering(bytes);
        let gateway = Gateway::before(&service, &[]);
        let mut client = gateway.connect();
        for round in 1..=2 {
            let answer = client.ask(&format!("{method} /api/users HTTP/1.1\r\nHost: a\r\n\r\n"));

            assert_eq!(answer.status, status, "{bytes} {round}");
            assert_eq!(answer.head.get("content-length"), length, "{bytes} {round}");
            assert_eq!(answer.head.get("transfer-encoding"), None, "{bytes} {round}");
            assert_eq!(answer.body, "", "{bytes} {round}");
        }
    }
}

#[test]
fn a_body_of_unknown_length_comes_in_chunks_or_to_an_old_client_until_the_end() {
    for bytes in [
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1\r\nd\r\n0\r\nX-Trailer: 1\r\n\r\n",
        "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabcd",
        "HTTP/1.0 200 OK\r\n\r\nabcd",
    ] {
        let service = Service::start(move |visit| {
            visit.reply(bytes)?;
            visit.close()
        });
        let gateway = Gateway::before(&service, &[]);

        let new = gateway.ask("GET /api/users HTTP/1.1");
        let old = gateway.ask("GET /api/users HTTP/1.0");

        assert_eq!((new.body.as_str(), new.head.get("transfer-encoding")), ("abcd", Some("chunked")));
        assert_eq!((old.body.as_str(), old.head.get("transfer-encoding")), ("abcd", None), "{bytes}");
    }
}

#[test]
fn an_offer_to_change_the_protocol_is_refused_clearly() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);

    for protocol in ["websocket", "WebSocket", "h2c", "TLS/1.0", "websocket, h2c", ""] {
        let mut client = gateway.connect();
        let ask = format!("GET /api/users HTTP/1.1\nConnection: keep-alive, Upgrade\nUpgrade: {protocol}");
        client.ask(&request(&ask)).assert_problem(400, "protocol not supported");
        assert!(service.seen().is_empty(), "{protocol}");
        // Nothing was changed, so HTTP goes on.
        assert_eq!(client.ask(&request("GET /health/live HTTP/1.1")).status, 200);
    }
    let body = "POST /api/users HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Content-Length: 3\r\n\r\nabcGET /api/orders HTTP/1.1\r\nHost: a\r\n\r\n";
    gateway.connect().ask(body).assert_problem(400, "bad request");
    assert!(service.seen().is_empty());
}

#[test]
fn no_valid_answer_is_a_bad_gateway() {
    for bytes in [
        "",
        "HTTP/1.1 2",
        "what do you want\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
    ] {
        let service = Service::start(move |visit| {
            visit.reply(bytes)?;
            visit.close()
        });
        let gateway = Gateway::before(&service, &[]);

        let answer = gateway.ask("GET /api/users HTTP/1.1");

        answer.assert_problem(502, "bad gateway");
        assert_eq!(service.seen().len(), 1, "a request of which bytes were sent is not repeated");
    }
}
