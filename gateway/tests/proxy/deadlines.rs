//! Nobody waits for longer than the deadlines say.

use std::{
    io::ErrorKind,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::mpsc,
    time::{Duration, Instant},
};

use socket2::{Domain, Socket, Type};

use crate::harness::{Gateway, SOON, Service, eventually, request};

#[test]
fn a_service_that_cannot_be_reached_is_unavailable() {
    let free = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
    let url = format!("http://{}", free.local_addr().expect("it is bound"));
    drop(free);
    let gateway = Gateway::start(&[("USER_URL", url.as_str())]);

    let answer = gateway.ask("GET /api/users HTTP/1.1");

    answer.assert_problem(503, "users unavailable");
    assert_eq!(answer.head.get("retry-after"), Some("1"));
}

#[test]
fn connecting_has_a_deadline() {
    // A listener that accepts nothing and whose backlog is full ignores whoever else asks.
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("there is a free port");
    listener.listen(0).expect("it listens");
    let address = listener.local_addr().expect("it is bound").as_socket().expect("an IP address");
    let mut waiting = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(200)) {
        waiting.push(stream);
    }
    let url = format!("http://{address}");
    let gateway = Gateway::start(&[("USER_URL", url.as_str()), ("GATEWAY_CONNECT_MS", "150")]);

    let asked = Instant::now();
    let answer = gateway.ask("GET /api/users HTTP/1.1");

    answer.assert_problem(503, "users unavailable");
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(140) && took < Duration::from_millis(600), "{took:?}");
}

#[test]
fn an_answer_must_begin_in_time() {
    let (tell, told) = mpsc::channel();
    let service = Service::start(move |visit| {
        visit.body()?;
        visit.until_closed()?;
        tell.send(()).expect("the test listens");
        Ok(())
    });
    let gateway = Gateway::before(&service, &[("GATEWAY_HEAD_MS", "150")]);
    for request in ["GET /api/users HTTP/1.1", "POST /api/users HTTP/1.1\nContent-Length: 0"] {
        let asked = Instant::now();
        let answer = gateway.ask(request);

        answer.assert_problem(504, "gateway timeout");
        let took = asked.elapsed();
        assert!(took > Duration::from_millis(140) && took < Duration::from_millis(600), "{took:?}");
        told.recv_timeout(SOON).expect("the exchange was ended at the service too");
    }
}

#[test]
fn a_slow_upload_does_not_count_against_the_service() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[("GATEWAY_HEAD_MS", "150")]);
    let mut client = gateway.connect();

    client.send("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\n");
    for _ in 0..8 {
        std::thread::sleep(Duration::from_millis(50));
        client.send("x");
    }

    assert_eq!(client.answer(false).expect("a whole answer").status, 200);
}

#[test]
fn a_service_that_does_not_answer_an_upload_is_late_too() {
    let service = Service::start(|visit| {
        visit.body()?;
        visit.until_closed().map(drop)
    });
    let gateway = Gateway::before(&service, &[("GATEWAY_HEAD_MS", "150")]);
    let mut client = gateway.connect();

    let answer = client.ask("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx");

    answer.assert_problem(504, "gateway timeout");
}

#[test]
fn a_client_must_go_on_with_its_body_in_time() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[("GATEWAY_BODY_IDLE_MS", "150")]);
    let mut client = gateway.connect();

    client.send("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nx");
    let answer = client.answer(false).expect("a whole answer");

    answer.assert_problem(408, "request timeout");
    assert!(answer.closes());
}

#[test]
fn a_whole_exchange_has_a_deadline() {
    let service = Service::start(|visit| {
        visit.reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            visit.reply("3\r\none\r\n")?;
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    let gateway = Gateway::before(&service, &[("GATEWAY_WHOLE_MS", "300")]);
    let mut client = gateway.connect();

    let asked = Instant::now();
    client.send(request("GET /api/users HTTP/1.1"));
    let error = client.answer(false).expect_err("the answer is cut off");

    assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
    let took = asked.elapsed();
    assert!(took > Duration::from_millis(290) && took < Duration::from_secs(1), "{took:?}");
}

#[test]
fn a_client_that_reads_nothing_does_not_hold_the_service() {
    let (tell, told) = mpsc::channel();
    let service = Service::start(move |visit| {
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")?;
        while visit.reply([b'x'; 1 << 16]).is_ok() {}
        tell.send(()).expect("the test listens");
        Ok(())
    });
    let gateway = Gateway::before(&service, &[("GATEWAY_WHOLE_MS", "300"), ("GATEWAY_IN_FLIGHT", "1")]);
    let mut client = gateway.connect();

    client.send(request("GET /api/users HTTP/1.1"));

    told.recv_timeout(SOON).expect("the service is let go");
    eventually("its place is free again", || {
        let mut next = gateway.connect();
        next.send(request("GET /api/users HTTP/1.1"));
        next.head().is_ok_and(|head| head.target() == "200")
    });
}

#[test]
fn a_body_that_takes_the_whole_time_is_the_clients_fault() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[("GATEWAY_WHOLE_MS", "200")]);
    let mut client = gateway.connect();

    client.send("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 8\r\n\r\nx");

    client.answer(false).expect("a whole answer").assert_problem(408, "request timeout");
}

#[test]
fn a_request_too_many_is_refused_at_once() {
    let service = Service::start(|visit| {
        visit.body()?;
        std::thread::sleep(Duration::from_millis(400));
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let gateway = Gateway::before(&service, &[("GATEWAY_IN_FLIGHT", "1")]);
    let mut first = gateway.connect();
    first.send(request("GET /api/users HTTP/1.1"));
    eventually("the first is on its way", || service.seen().len() == 1);

    let asked = Instant::now();
    let second = gateway.ask("GET /api/users HTTP/1.1");

    second.assert_problem(503, "too busy");
    assert_eq!(second.head.get("retry-after"), Some("1"));
    assert!(asked.elapsed() < Duration::from_millis(100));
    assert_eq!(first.answer(false).expect("a whole answer").status, 200);
    // Its worker frees the place when the answer has been written.
    eventually("its place is free again", || gateway.ask("GET /api/users HTTP/1.1").status == 200);
}
