//! Whoever goes away ends the exchange on the other side as well, and never in a way that looks complete.

use std::{io::ErrorKind, net::Shutdown, sync::mpsc, time::Duration};

use crate::harness::{Gateway, SOON, Service, eventually, request};

#[test]
fn a_client_that_leaves_while_it_waits_ends_the_request_at_the_service() {
    let (tell, told) = mpsc::channel();
    let service = Service::start(move |visit| {
        tell.send("asked").expect("the test listens");
        visit.until_closed()?;
        tell.send("left").expect("the test listens");
        Ok(())
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(request("GET /api/orders HTTP/1.1"));
    assert_eq!(told.recv_timeout(SOON), Ok("asked"));
    drop(client);

    assert_eq!(told.recv_timeout(Duration::from_secs(2)), Ok("left"));
}

#[test]
fn a_client_that_leaves_within_a_streamed_body_does_not_look_as_if_it_had_sent_it() {
    for (framing, large) in [("Content-Length: 99999", true), ("Transfer-Encoding: chunked", false)] {
        let (tell, told) = mpsc::channel();
        let service = Service::start(move |visit| {
            tell.send(String::new()).expect("the test listens");
            let came = visit.until_closed()?;
            tell.send(String::from_utf8_lossy(&came).into_owned()).expect("the test listens");
            Ok(())
        });
        let settings = "[[routes]]\npath = \"/api/orders\"\nupstream = \"orders\"\n";
        let gateway = Gateway::configured(&service, settings, &[]);
        let mut client = gateway.connect();

        client.send(format!("POST /api/orders HTTP/1.1\r\nHost: a\r\n{framing}\r\n\r\n"));
        assert_eq!(told.recv_timeout(SOON).as_deref(), Ok(""));
        client.send(if large { "one" } else { "3\r\none\r\n" });
        std::thread::sleep(Duration::from_millis(50));
        client.socket().shutdown(Shutdown::Both).expect("it is open");

        let came = told.recv_timeout(Duration::from_secs(2)).expect("the service notices");
        assert!(came.contains("one") && !came.contains("\r\n0\r\n"), "{came:?}");
    }
}

#[test]
fn a_client_that_leaves_within_a_small_body_costs_the_service_nothing() {
    let service = Service::ok();
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\none");
    client.socket().shutdown(Shutdown::Both).expect("it is open");

    eventually("the gateway notices", || gateway.metric("gateway_requests_abandoned_total") == 1);
    assert!(service.seen().is_empty());
}

#[test]
fn a_client_that_leaves_within_the_answer_ends_it_at_the_service() {
    let (tell, told) = mpsc::channel();
    let service = Service::start(move |visit| {
        visit.reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        loop {
            if let Err(error) = visit.reply("3\r\none\r\n") {
                tell.send(error.kind()).expect("the test listens");
                return Err(error);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(request("GET /api/orders HTTP/1.1"));
    client.head().expect("the head comes");
    drop(client);

    let error = told.recv_timeout(Duration::from_secs(2)).expect("the service notices");
    assert!(matches!(error, ErrorKind::BrokenPipe | ErrorKind::ConnectionReset), "{error}");
}

#[test]
fn an_answer_that_breaks_off_does_not_look_complete() {
    for answer in [
        "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\none",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\none",
    ] {
        let service = Service::start(move |visit| {
            visit.reply(answer)?;
            std::thread::sleep(Duration::from_millis(50));
            visit.close()
        });
        let gateway = Gateway::before(&service, &[]);
        let mut client = gateway.connect();

        client.send(request("GET /api/orders HTTP/1.1"));
        let error = client.answer(false).expect_err("the answer is not whole");

        assert!(matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset), "{error}");
        assert_eq!(gateway.ask("GET /health/live HTTP/1.1").status, 200);
    }
}
