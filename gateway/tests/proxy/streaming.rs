//! Bytes flow both ways as they come, and no faster than they are taken.

use std::{
    io::{ErrorKind, Write},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    time::Duration,
};

use crate::harness::{Gateway, SOON, Service, eventually, request};

const CHUNKED: &str = "POST /api/orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn the_service_gets_the_beginning_of_a_body_before_its_end_was_sent() {
    let (tell, told) = mpsc::channel();
    let service = Service::start(move |visit| {
        while let Some(chunk) = visit.chunk()? {
            tell.send(chunk).expect("the test listens");
        }
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(format!("{CHUNKED}3\r\none\r\n"));
    assert_eq!(told.recv_timeout(SOON).as_deref(), Ok("one"));
    client.send("3\r\ntwo\r\n");
    assert_eq!(told.recv_timeout(SOON).as_deref(), Ok("two"));
    client.send("0\r\n\r\n");

    assert_eq!(client.answer(false).expect("a whole answer").status, 200);
}

#[test]
fn the_client_gets_the_beginning_of_an_answer_before_its_end_was_written() {
    let (allow, allowed) = mpsc::channel::<()>();
    let allowed = Mutex::new(allowed);
    let service = Service::start(move |visit| {
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\none")?;
        allowed.lock().expect("used by one").recv().expect("the test allows it");
        visit.reply("two")
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(request("GET /api/orders HTTP/1.1"));
    let head = client.head().expect("the head comes");
    assert_eq!(client.read(3).expect("the beginning comes"), "one");
    allow.send(()).expect("the service waits");

    assert_eq!(head.get("content-length"), Some("6"));
    assert_eq!(client.read(3).expect("the end comes"), "two");
}

#[test]
fn an_answer_may_begin_before_the_request_is_complete() {
    let service = Service::start(|visit| {
        visit.reply("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        while let Some(chunk) = visit.chunk()? {
            visit.reply(format!("{:x}\r\n{chunk}\r\n", chunk.len()))?;
        }
        visit.reply("0\r\n\r\n")
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(CHUNKED);
    client.head().expect("the head comes");
    for word in ["one", "two", "six"] {
        client.send(format!("3\r\n{word}\r\n"));
        assert_eq!(client.read(8).expect("the echo comes"), format!("3\r\n{word}\r\n"));
    }
    client.send("0\r\n\r\n");

    assert_eq!(client.read(5).expect("the end comes"), "0\r\n\r\n");
}

#[test]
fn an_early_refusal_reaches_the_client_although_the_body_never_ends() {
    let service = Service::start(|visit| {
        visit.chunk()?;
        visit.reply("HTTP/1.1 413 Payload Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")?;
        visit.until_closed().map(drop)
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(format!("{CHUNKED}3\r\none\r\n"));
    let answer = client.answer(false).expect("a whole answer");

    assert_eq!((answer.status, answer.body.as_str()), (413, "big"));
}

/// More than the buffers of all sockets on the way hold.
const PLENTY: usize = 64 << 20;

#[test]
fn a_service_that_does_not_read_stops_the_client() {
    let (allow, allowed) = mpsc::channel::<()>();
    let allowed = Mutex::new(allowed);
    let service = Service::start(move |visit| {
        allowed.lock().expect("used by one").recv().expect("the test allows it");
        let length = visit.body()?.len();
        visit.reply(format!("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX-Length: {length}\r\n\r\n"))
    });
    let settings = "[[routes]]\npath = \"/api/orders\"\nupstream = \"orders\"\nbody_bytes = \"64 MiB\"\n";
    let gateway = Gateway::configured(&service, settings, &[]);
    let mut client = gateway.connect();

    client.send(format!("POST /api/orders HTTP/1.1\r\nHost: a\r\nContent-Length: {PLENTY}\r\n\r\n"));
    client.socket().set_write_timeout(Some(Duration::from_millis(300))).expect("a sound timeout");
    let mut sent = 0;
    let chunk = [b'x'; 1 << 16];
    let stopped = loop {
        match client.socket().write(&chunk[..chunk.len().min(PLENTY - sent)]) {
            Ok(0) => break None,
            Ok(written) => sent += written,
            Err(error) => break Some(error.kind()),
        }
    };
    assert_eq!(stopped, Some(ErrorKind::WouldBlock), "{sent} bytes went through");
    assert!(sent < PLENTY / 2, "{sent}");

    allow.send(()).expect("the service waits");
    client.socket().set_write_timeout(None).expect("a sound timeout");
    while sent < PLENTY {
        sent += client.socket().write(&chunk[..chunk.len().min(PLENTY - sent)]).expect("it goes on");
    }
    let answer = client.answer(false).expect("a whole answer");
    assert_eq!(answer.head.get("x-length"), Some(PLENTY.to_string().as_str()));
}

#[test]
fn a_client_that_does_not_read_stops_the_service() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = written.clone();
    let service = Service::start(move |visit| {
        visit.reply(format!("HTTP/1.1 200 OK\r\nContent-Length: {PLENTY}\r\n\r\n"))?;
        let chunk = [b'x'; 1 << 16];
        for _ in 0..PLENTY / chunk.len() {
            visit.reply(chunk)?;
            count.fetch_add(chunk.len(), Ordering::Relaxed);
        }
        Ok(())
    });
    let gateway = Gateway::before(&service, &[]);
    let mut client = gateway.connect();

    client.send(request("GET /api/orders HTTP/1.1"));
    client.head().expect("the head comes");
    let mut last = 0;
    eventually("the service stalls", || {
        std::thread::sleep(Duration::from_millis(300));
        let now = written.load(Ordering::Relaxed);
        std::mem::replace(&mut last, now) == now
    });
    assert!(last < PLENTY / 2, "{last} bytes were taken");

    assert_eq!(client.read(PLENTY).expect("the whole body comes").len(), PLENTY);
}
