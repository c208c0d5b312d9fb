//! Connections that become WebSockets, where a route says that they may.

use std::{
    io,
    net::Shutdown,
    process::ExitCode,
    sync::mpsc,
    time::{Duration, Instant},
};

use crate::harness::{Client, Gateway, SOON, Service, Visit, eventually, request};

const ROUTES: &str = "
[deadlines]
tunnel_idle = \"400ms\"

[[routes]]
path = \"/api/live\"
target = \"/live\"
upstream = \"orders\"
websocket = true

[[routes]]
path = \"/api/orders\"
target = \"/orders\"
upstream = \"orders\"
";

const OPEN: &str = "GET /api/live?room=1 HTTP/1.1
    Connection: keep-alive, Upgrade
    Upgrade: WebSocket
    Sec-WebSocket-Version: 13
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==
    Sec-WebSocket-Protocol: chat, superchat
    Sec-WebSocket-Extensions: permessage-deflate";

const AGREED: &str = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n";

/// A service that agrees, and then does what the test says.
fn service(then: impl Fn(&mut Visit<'_>) -> io::Result<()> + Send + Sync + 'static) -> Service {
    Service::start(move |visit| {
        visit.reply(AGREED)?;
        then(visit)?;
        visit.close()
    })
}

/// Says everything again until the other side ends.
fn echo(visit: &mut Visit<'_>) -> io::Result<()> {
    while let Some(piece) = visit.piece()? {
        visit.reply(piece)?;
    }
    Ok(())
}

fn opened(gateway: &Gateway) -> Client {
    let mut client = gateway.connect();
    client.send(request(OPEN));
    assert_eq!(client.head().expect("the service agrees").target(), "101");
    client
}

fn tunnels(gateway: &Gateway, count: u64) -> bool {
    gateway.metric("gateway_tunnels") == count
}

#[test]
fn it_opens_with_what_both_sides_said_and_carries_bytes_both_ways() {
    let service = service(|visit| {
        visit.reply("welcome")?;
        echo(visit)
    });
    let gateway = Gateway::configured(&service, ROUTES, &[]);
    let mut client = gateway.connect();

    // Who is in a hurry does not wait for the answer.
    client.send(request(OPEN) + "early");

    let head = client.head().expect("the service agrees");
    assert_eq!(head.first, "HTTP/1.1 101 Switching Protocols");
    assert_eq!(head.all("upgrade"), ["websocket"]);
    assert_eq!(head.all("connection"), ["upgrade"]);
    assert_eq!(head.all("sec-websocket-accept"), ["s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]);
    assert_eq!(head.all("sec-websocket-protocol"), ["chat"]);
    assert!(head.get("x-request-id").is_some());
    assert_eq!((head.get("content-length"), head.get("transfer-encoding")), (None, None));
    assert_eq!(client.read(12).expect("it carries"), "welcomeearly");
    assert!(tunnels(&gateway, 1));
    for round in 0..100 {
        let text = format!("{round:03}").repeat(1000);
        client.send(&text);
        assert_eq!(client.read(3000).expect("it carries"), text);
    }

    let seen = service.seen().pop().expect("the request arrives");
    assert_eq!(seen.first, "GET /live?room=1 HTTP/1.1");
    assert_eq!(seen.all("upgrade"), ["websocket"]);
    assert_eq!(seen.all("connection"), ["upgrade"]);
    assert_eq!(seen.all("sec-websocket-key"), ["dGhlIHNhbXBsZSBub25jZQ=="]);
    assert_eq!(seen.all("sec-websocket-version"), ["13"]);
    assert_eq!(seen.all("sec-websocket-protocol"), ["chat, superchat"]);
    assert_eq!(seen.all("sec-websocket-extensions"), ["permessage-deflate"]);
    assert_eq!(seen.all("x-forwarded-for"), ["127.0.0.1"]);
}

#[test]
fn it_ends_when_the_client_ends() {
    for how in [Shutdown::Write, Shutdown::Both] {
        let (tell, told) = mpsc::channel();
        let service = service(move |visit| {
            let came = visit.until_closed()?;
            tell.send(String::from_utf8_lossy(&came).into_owned()).expect("the test listens");
            visit.reply("bye")
        });
        let gateway = Gateway::configured(&service, ROUTES, &[]);
        let mut client = opened(&gateway);

        client.send("hello");
        client.socket().shutdown(how).expect("it is open");

        assert_eq!(told.recv_timeout(SOON).as_deref(), Ok("hello"));
        if how == Shutdown::Write {
            assert_eq!(client.until_closed().expect("the service ends it"), "bye");
        }
        eventually("nothing is left of it", || tunnels(&gateway, 0));
    }
}

#[test]
fn it_ends_when_the_service_ends() {
    let service = service(|visit| visit.reply("bye"));
    let gateway = Gateway::configured(&service, ROUTES, &[]);

    let mut client = opened(&gateway);

    assert_eq!(client.until_closed().expect("the service ends it"), "bye");
    drop(client);
    eventually("nothing is left of it", || tunnels(&gateway, 0));
}

#[test]
fn it_ends_when_nobody_says_anything_and_not_before() {
    let (tell, told) = mpsc::channel();
    let service = service(move |visit| {
        let ended = echo(visit);
        tell.send(()).expect("the test listens");
        ended
    });
    let gateway = Gateway::configured(&service, ROUTES, &[]);
    let mut client = opened(&gateway);

    let began = Instant::now();
    while began.elapsed() < Duration::from_millis(800) {
        client.send("x");
        assert_eq!(client.read(1).expect("it is in use"), "x");
        std::thread::sleep(Duration::from_millis(50));
    }

    assert_eq!(client.until_closed().expect("the gateway ends it"), "");
    told.recv_timeout(SOON).expect("it ends at the service too");
}

#[test]
fn a_service_that_does_not_agree_answers_as_ever() {
    let service = Service::answering("HTTP/1.1 426 Upgrade Required\r\nContent-Length: 2\r\n\r\nno");
    let gateway = Gateway::configured(&service, ROUTES, &[]);
    let mut client = gateway.connect();

    for _ in 0..2 {
        let answer = client.ask(&request(OPEN));
        assert_eq!((answer.status, answer.body.as_str()), (426, "no"));
    }
    assert!(tunnels(&gateway, 0));
}

#[test]
fn only_what_is_a_websocket_on_such_a_route_becomes_one() {
    let service = service(echo);
    let gateway = Gateway::configured(&service, ROUTES, &[]);
    let upgrade = "Connection: upgrade\nUpgrade: websocket";
    for (ask, error) in [
        (format!("GET /api/orders HTTP/1.1\n{upgrade}"), "protocol not supported"),
        ("GET /api/live HTTP/1.1\nConnection: upgrade\nUpgrade: h2c".to_owned(), "protocol not supported"),
        (
            "GET /api/live HTTP/1.1\nConnection: upgrade, http2-settings\nUpgrade: h2c\nHTTP2-Settings: AA"
                .to_owned(),
            "protocol not supported",
        ),
        (
            "GET /api/live HTTP/1.1\nConnection: upgrade\nUpgrade: h2c, websocket".to_owned(),
            "protocol not supported",
        ),
        (format!("POST /api/live HTTP/1.1\n{upgrade}"), "bad request"),
        (format!("GET /api/live HTTP/1.0\n{upgrade}"), "bad request"),
        (format!("GET /api/live HTTP/1.1\n{upgrade}\nContent-Length: 5"), "bad request"),
        (format!("GET /api/live HTTP/1.1\n{upgrade}\nTransfer-Encoding: chunked"), "bad request"),
    ] {
        gateway.ask(&ask).assert_problem(400, error);
    }
    assert!(service.seen().is_empty());
    // Without Connection it is no offer, and the service is not asked to change anything.
    gateway.ask("GET /api/live HTTP/1.1\nUpgrade: websocket").assert_problem(502, "bad gateway");
    let seen = service.seen().pop().expect("the request arrives");
    assert_eq!((seen.get("upgrade"), seen.get("connection")), (None, None));
}

#[test]
fn a_gateway_that_stops_ends_it() {
    let service = service(echo);
    let settings = ROUTES.replace("400ms", "60s");
    let mut gateway = Gateway::configured(&service, &settings, &[]);
    let mut client = opened(&gateway);
    client.send("x");
    assert_eq!(client.read(1).expect("it carries"), "x");

    let began = Instant::now();
    gateway.begin_stop();

    assert_eq!(client.until_closed().expect("the gateway ends it"), "");
    assert_eq!(gateway.wait(), ExitCode::SUCCESS);
    assert!(began.elapsed() < Duration::from_secs(4), "{:?}", began.elapsed());
}
