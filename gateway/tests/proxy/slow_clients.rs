//! Clients that are slow, greedy or lost get their answer and cost the others nothing.

use std::{
    io::{ErrorKind, Write},
    thread,
    time::{Duration, Instant},
};

use crate::harness::{Answer, Client, Gateway, SOON, Service, eventually, request};

const SHORT: &str = "[deadlines]\nclient_head = \"300ms\"\nkeep_alive = \"300ms\"\nbody_idle = \"200ms\"\n";

/// Sends a byte now and then, until the gateway has had enough of it.
fn trickle(client: &mut Client, bytes: &str) {
    let end = Instant::now() + SOON;
    for byte in bytes.bytes().cycle() {
        assert!(Instant::now() < end, "the gateway waits for ever");
        thread::sleep(Duration::from_millis(20));
        let socket = client.socket();
        socket.set_nonblocking(true).expect("a socket can be asked");
        let answered = socket.peek(&mut [0]).is_ok();
        socket.set_nonblocking(false).expect("a socket can be asked");
        if answered || client.socket().write(&[byte]).is_err() {
            return;
        }
    }
}

/// Reads a refusal, after which the connection ends.
#[track_caller]
fn assert_last(client: &mut Client, status: u16, error: &str) -> Answer {
    let answer = client.answer(false).expect("a whole answer");
    answer.assert_problem(status, error);
    assert!(answer.closes(), "{answer:?}");
    assert_eq!(client.until_closed().expect("the gateway closes it"), "");
    answer
}

#[test]
fn every_head_of_a_connection_must_come_in_time() {
    let service = Service::ok();
    let gateway = Gateway::configured(&service, SHORT, &[]);
    let head = "GET /api/users HTTP/1.1\r\nHost: a\r\nX: ";
    for before in [0, 1, 3] {
        let mut client = gateway.connect();
        for _ in 0..before {
            assert_eq!(client.ask(&request("GET /api/users HTTP/1.1")).status, 200);
        }
        client.send(head);

        let began = Instant::now();
        trickle(&mut client, "x");

        assert_last(&mut client, 408, "request timeout");
        let took = began.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?} after {before}");
    }
    assert_eq!(service.seen().len(), 4, "none of the slow ones arrives");
}

#[test]
fn empty_lines_without_end_are_no_reason_to_wait() {
    let gateway = Gateway::configured(&Service::ok(), SHORT, &[]);
    let mut client = gateway.connect();

    trickle(&mut client, "\r\n");

    assert_last(&mut client, 408, "request timeout");
}

#[test]
fn a_connection_without_a_request_is_closed_in_silence() {
    let gateway = Gateway::configured(&Service::ok(), SHORT, &[]);
    let (mut fresh, mut used) = (gateway.connect(), gateway.connect());
    assert_eq!(used.ask(&request("GET /api/users HTTP/1.1")).status, 200);

    for client in [&mut fresh, &mut used] {
        assert_eq!(client.until_closed().expect("the gateway closes it"), "");
    }
}

#[test]
fn a_head_beyond_the_limits_is_refused_whole_or_not() {
    let settings = "[limits]\nhead_bytes = \"2 KiB\"\nheader_count = 12\n";
    let service = Service::ok();
    let gateway = Gateway::configured(&service, settings, &[]);
    let start = "GET /api/users HTTP/1.1\r\nHost: a\r\n";
    for rest in [
        format!("X: {}\r\n\r\n", "x".repeat(2048)),
        format!("X: {}", "x".repeat(2048)),
        format!("X: {}", "x".repeat(60_000)),
        "x: y\r\n".repeat(12) + "\r\n",
        "x: y\r\n".repeat(1000),
    ] {
        let mut client = gateway.connect();
        client.send(format!("{start}{rest}"));

        assert_last(&mut client, 431, "head too large");
    }
    assert!(service.seen().is_empty());
    let most = "x: y\r\n".repeat(11);
    assert_eq!(gateway.connect().ask(&format!("{start}{most}\r\n")).status, 200);
    let long = format!("GET /api/users?{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(1900));
    assert_eq!(gateway.connect().ask(&long).status, 200);
}

#[test]
fn many_requests_at_once_are_answered_however_small_a_head_may_be() {
    let settings = "[limits]\nhead_bytes = \"1 KiB\"\n";
    let gateway = Gateway::configured(&Service::ok(), settings, &[]);
    let mut client = gateway.connect();

    client.send(request("GET /health/live HTTP/1.1").repeat(1000));

    for number in 0..1000 {
        assert_eq!(client.answer(false).expect("a whole answer").status, 200, "{number}");
    }
}

#[test]
fn a_body_that_stops_coming_is_given_up() {
    let service = Service::start(|visit| visit.until_closed().map(drop));
    let gateway = Gateway::configured(&service, SHORT, &[]);
    for framing in [
        "Content-Length: 9\r\n\r\none",
        "Content-Length: 9\r\n\r\n",
        "Content-Length: 65536\r\n\r\none",
        "Transfer-Encoding: chunked\r\n\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        "Transfer-Encoding: chunked\r\n\r\n3\r\none\r\n0\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(format!("POST /api/orders HTTP/1.1\r\nHost: a\r\n{framing}"));

        assert_last(&mut client, 408, "request timeout");
    }
}

#[test]
fn slow_uploads_do_not_take_the_places_of_quick_requests() {
    // One client may have a quarter of the places.
    let settings = "[limits]\nin_flight = 3\nuploads_waiting = 8\n";
    for (framing, body) in [
        ("Content-Length: 9", "one two 3"),
        ("Content-Length: 100", "one two 3 "),
        ("Transfer-Encoding: chunked", "3\r\none\r\n0\r\n\r\n"),
    ] {
        let service = Service::ok();
        let gateway = Gateway::configured(&service, settings, &[]);
        let post =
            format!("POST /api/orders HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n{framing}\r\n\r\n");
        let mut uploads = [gateway.connect(), gateway.connect()];
        for upload in &mut uploads {
            // Whoever is told to go on has a place.
            assert_eq!(upload.ask(&post).status, 100);
        }

        let third = gateway.connect().ask(&post);

        third.assert_problem(503, "too busy");
        assert_eq!(third.head.get("retry-after"), Some("1"));
        // Over one connection, since another worker may still be about to free the place of the one before.
        let mut client = gateway.connect();
        for _ in 0..5 {
            assert_eq!(client.ask(&request("GET /api/users HTTP/1.1")).status, 200);
            let quick = "POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\none";
            assert_eq!(client.ask(quick).status, 200, "what is there at once need not wait");
        }
        let body = if framing == "Content-Length: 100" { body.repeat(10) } else { body.to_owned() };
        for upload in &mut uploads {
            upload.send(&body);
            assert_eq!(upload.answer(false).expect("a whole answer").status, 200, "{framing}");
        }
        eventually("there are places again", || gateway.connect().ask(&post).status == 100);
    }
}

#[test]
fn one_client_cannot_have_all_connections() {
    let gateway = Gateway::configured(&Service::ok(), "[limits]\nconnections_per_client = 2\n", &[]);
    let mut open = vec![gateway.connect(), gateway.connect()];
    for client in &mut open {
        assert_eq!(client.ask(&request("GET /api/users HTTP/1.1")).status, 200);
    }

    for said in ["", "GET /api/users HTTP/1.1\r\nHost: a\r\n\r\n"] {
        let mut third = gateway.connect();
        // Its connection may have ended by then; what was said to it is there all the same.
        let _ = third.socket().write(said.as_bytes());
        let answer = assert_last(&mut third, 503, "too many connections");
        assert_eq!(answer.head.get("retry-after"), Some("1"));
    }

    assert_eq!(gateway.metric("gateway_connections_refused_total"), 2);
    open.pop();
    eventually("there is a place again", || {
        let answer = gateway.connect().try_ask(&request("GET /api/users HTTP/1.1"));
        answer.is_ok_and(|answer| answer.status == 200)
    });
    assert_eq!(open[0].ask(&request("GET /api/users HTTP/1.1")).status, 200);
}

#[test]
fn a_trusted_proxy_may_have_more_connections_than_a_client() {
    let settings = "trusted = [\"127.0.0.1\"]\n[limits]\nconnections_per_client = 2\n";
    let gateway = Gateway::configured(&Service::ok(), settings, &[]);
    let mut open: Vec<_> = (0..5).map(|_| gateway.connect()).collect();

    for client in &mut open {
        assert_eq!(client.ask(&request("GET /api/users HTTP/1.1")).status, 200);
    }
}

#[test]
fn when_all_connections_are_taken_the_next_one_waits() {
    let gateway = Gateway::configured(&Service::ok(), "[limits]\nconnections = 2\n", &[]);
    let mut open = vec![gateway.connect(), gateway.connect()];
    for client in &mut open {
        assert_eq!(client.ask(&request("GET /api/users HTTP/1.1")).status, 200);
    }
    let mut third = gateway.connect();
    third.send(request("GET /api/users HTTP/1.1"));
    third.socket().set_read_timeout(Some(Duration::from_millis(100))).expect("a sound timeout");
    assert_eq!(third.answer(false).expect_err("nobody has taken it").kind(), ErrorKind::WouldBlock);

    open.pop();

    third.socket().set_read_timeout(Some(SOON)).expect("a sound timeout");
    assert_eq!(third.answer(false).expect("a whole answer").status, 200);
}

#[test]
fn what_is_no_http_is_told_so_at_once() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03hello"[..],
        b"\x05\x01\x00",
        b"\x00\x00\x00\x00",
        b"\n\n\n",
        b"\r\n\r\n\x7f",
        b"\xff\xfe\xfd\xfc\xfb",
        b"{\"id\": 1}\r\n",
        b"<soap/>",
        b"*1\r\n$4\r\nPING\r\n",
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"EHLO a\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ] {
        let mut client = gateway.connect();
        client.send(bytes);

        let answer = client.answer(false).expect("a whole answer");
        let (status, error) = match answer.status {
            505 => (505, "version not supported"),
            _ => (400, "bad request"),
        };
        answer.assert_problem(status, error);
        assert!(answer.closes());
        assert_eq!(client.until_closed().expect("the gateway closes it"), "", "{bytes:?}");
    }
    assert!(service.seen().is_empty());
}
