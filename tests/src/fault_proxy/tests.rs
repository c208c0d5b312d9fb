//! The proxy between a client and a server that the test holds in its hands.

use std::io::ErrorKind;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use super::*;
use crate::harness::eventually;
use crate::ports;

/// Long enough for anything to arrive that does.
const SOON: Duration = Duration::from_secs(10);

/// After which something that did not arrive is taken to be held. Nothing fails that takes longer on a busy machine.
const A_WHILE: Duration = Duration::from_millis(100);

struct Stage {
    proxy: FaultProxy,
    listener: TcpListener,
}

impl Stage {
    async fn set() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = listener.local_addr().expect("it listens").to_string();
        let proxy = FaultProxy::listen(ports::free(), &server).await.expect("the port is free");
        Self { proxy, listener }
    }

    /// A connection through the proxy, both ends.
    async fn connection(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.address()).await.expect("the proxy listens");
        let (server, _) =
            timeout(SOON, self.listener.accept()).await.expect("soon").expect("it comes through");
        (client, server)
    }
}

async fn say(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.expect("it is open");
}

/// Hears as many bytes as this text has.
async fn hear(stream: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    timeout(SOON, stream.read_exact(&mut heard)).await.expect("soon").expect("it is open");
    assert_eq!(String::from_utf8_lossy(&heard), text);
}

/// What is left until the end, and how it ends.
async fn rest(stream: &mut TcpStream) -> (String, Result<(), ErrorKind>) {
    let mut rest = Vec::new();
    let end = timeout(SOON, stream.read_to_end(&mut rest)).await.expect("soon");
    (String::from_utf8_lossy(&rest).into_owned(), end.map(drop).map_err(|error| error.kind()))
}

async fn assert_silent(stream: &mut TcpStream) {
    let heard = timeout(A_WHILE, stream.read_u8()).await;
    assert!(heard.is_err(), "something came: {heard:?}");
}

#[tokio::test]
async fn bytes_and_ends_go_through_each_direction_by_itself() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;

    say(&mut client, "question").await;
    client.shutdown().await.expect("it is open");
    assert_eq!(rest(&mut server).await, ("question".into(), Ok(())));
    say(&mut server, "answer").await;
    drop(server);

    assert_eq!(rest(&mut client).await, ("answer".into(), Ok(())));
}

#[tokio::test]
async fn much_goes_through_unchanged() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;
    let sent: Vec<u8> = (0..5_000_000_u32).map(|number| (number % 251) as u8).collect();
    stage.proxy.delay(BOTH, Duration::from_millis(1), Duration::from_millis(5));

    let writing = tokio::spawn({
        let sent = sent.clone();
        async move {
            client.write_all(&sent).await.expect("it is open");
            client.shutdown().await.expect("it is open");
            client
        }
    });
    let mut received = Vec::new();
    timeout(SOON, server.read_to_end(&mut received)).await.expect("soon").expect("it is open");

    assert!(received == sent, "{} bytes of {}, or in another order", received.len(), sent.len());
    writing.await.expect("it wrote");
}

#[tokio::test]
async fn a_reset_goes_through_as_a_reset() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;
    say(&mut server, "x").await;
    hear(&mut client, "x").await;

    server.set_zero_linger().expect("it is open");
    drop(server);

    assert_eq!(rest(&mut client).await, (String::new(), Err(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn a_server_that_is_not_there_is_a_reset() {
    let Stage { proxy, listener } = Stage::set().await;
    drop(listener);

    let mut client = TcpStream::connect(proxy.address()).await.expect("the proxy listens");

    assert_eq!(rest(&mut client).await, (String::new(), Err(ErrorKind::ConnectionReset)));
}

#[tokio::test]
async fn latency_is_added_in_its_direction_and_many_bytes_travel_at_once() {
    const LATENCY: Duration = Duration::from_millis(100);
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;
    stage.proxy.delay(&[Direction::ToServer], LATENCY, Duration::ZERO);

    let begun = Instant::now();
    for _ in 0..50 {
        say(&mut client, "question").await;
        // So that each is a piece of its own.
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..50 {
        hear(&mut server, "question").await;
    }
    let took = begun.elapsed();
    assert!(took >= LATENCY, "{took:?}");
    // One after the other they would take 5 s.
    assert!(took < 25 * LATENCY, "{took:?}");

    // Ends travel as slowly.
    let begun = Instant::now();
    client.shutdown().await.expect("it is open");
    assert_eq!(rest(&mut server).await.1, Ok(()));
    assert!(begun.elapsed() >= LATENCY);
}

#[tokio::test]
async fn a_narrow_link_takes_its_time() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;
    stage.proxy.throttle(&[Direction::ToServer], 50_000);

    let begun = Instant::now();
    say(&mut client, &"x".repeat(10_000)).await;
    hear(&mut server, &"x".repeat(10_000)).await;

    // 200 ms, less the slice whose time is waited for by nobody.
    assert!(begun.elapsed() >= Duration::from_millis(150), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn what_is_held_comes_later_and_ends_do_not_come_before() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;

    stage.proxy.hold(BOTH);
    say(&mut client, "question").await;
    drop(client);
    assert_silent(&mut server).await;
    // New connections are accepted and as silent.
    let (mut second, mut behind) = stage.connection().await;
    say(&mut second, "hello").await;
    assert_silent(&mut behind).await;

    stage.proxy.normal();
    assert_eq!(rest(&mut server).await, ("question".into(), Ok(())));
    hear(&mut behind, "hello").await;
}

#[tokio::test]
async fn a_connection_that_lost_something_stays_dead_and_a_new_one_lives() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;
    say(&mut client, "one").await;
    hear(&mut server, "one").await;

    stage.proxy.lose(&[Direction::ToServer]);
    say(&mut client, "two").await;
    assert_silent(&mut server).await;
    stage.proxy.normal();
    say(&mut client, "three").await;
    assert_silent(&mut server).await;
    // The other direction has lost nothing.
    say(&mut server, "four").await;
    hear(&mut client, "four").await;

    let (mut client, mut server) = stage.connection().await;
    say(&mut client, "five").await;
    hear(&mut server, "five").await;
}

#[tokio::test]
async fn a_cut_closes_both_ends_and_new_connections_are_made_at_once() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;

    stage.proxy.cut();

    assert_eq!(rest(&mut client).await, (String::new(), Ok(())));
    assert_eq!(rest(&mut server).await, (String::new(), Ok(())));
    let (mut client, mut server) = stage.connection().await;
    say(&mut client, "x").await;
    hear(&mut server, "x").await;
}

#[tokio::test]
async fn a_reset_resets_both_ends() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;

    stage.proxy.reset();

    for end in [&mut client, &mut server] {
        assert_eq!(rest(end).await, (String::new(), Err(ErrorKind::ConnectionReset)));
    }
}

#[tokio::test]
async fn what_is_refused_is_refused_by_the_kernel_until_all_is_normal() {
    let stage = Stage::set().await;
    let (mut client, _server) = stage.connection().await;

    stage.proxy.refuse();

    assert_eq!(rest(&mut client).await, (String::new(), Ok(())));
    eventually(SOON, "nobody listens", async || {
        match TcpStream::connect(stage.proxy.address()).await.map_err(|error| error.kind()) {
            Err(ErrorKind::ConnectionRefused) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    stage.proxy.normal();
    eventually(SOON, "it listens", async || {
        TcpStream::connect(stage.proxy.address()).await.map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_half_close_ends_one_direction_and_the_other_goes_on() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;

    stage.proxy.half_close(Direction::ToClient);

    assert_eq!(rest(&mut client).await, (String::new(), Ok(())));
    say(&mut server, "into the void").await;
    say(&mut client, "are you there?").await;
    hear(&mut server, "are you there?").await;
    drop(client);
    assert_eq!(rest(&mut server).await, (String::new(), Ok(())));
}

#[tokio::test]
async fn a_cut_after_some_bytes_lets_these_through_and_no_more_and_happens_once() {
    let stage = Stage::set().await;
    let (mut client, mut server) = stage.connection().await;
    stage.proxy.cut_after(Direction::ToServer, 10);

    say(&mut client, "0123").await;
    hear(&mut server, "0123").await;
    assert!(stage.proxy.will_cut());
    say(&mut server, "the other direction is not counted").await;
    say(&mut client, "456789abcdef").await;

    assert_eq!(rest(&mut server).await.0, "456789");
    assert!(!stage.proxy.will_cut());
    let (mut client, mut server) = stage.connection().await;
    say(&mut client, "0123456789abcdef").await;
    hear(&mut server, "0123456789abcdef").await;
}

#[tokio::test]
async fn a_proxy_that_is_dropped_takes_its_connections_with_it() {
    let stage = Stage::set().await;
    let (mut client, _server) = stage.connection().await;
    let address = stage.proxy.address();

    drop(stage.proxy);

    assert_eq!(rest(&mut client).await.1, Ok(()));
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_url_keeps_all_but_its_server() {
    for (url, before, after) in [
        ("amqp://guest:guest@127.0.0.1:5672/%2f", "amqp://guest:guest@", "/%2f"),
        ("http://localhost:3001", "http://", ""),
        ("http://[::1]:3001/a/b", "http://", "/a/b"),
    ] {
        let proxy = FaultProxy::before(url).await.expect("it names a server");
        assert_eq!(proxy.url(), format!("{before}{}{after}", proxy.address()));
    }
    for url in ["localhost:3001", "amqp://localhost/%2f"] {
        assert!(FaultProxy::before(url).await.is_err(), "{url}");
    }
}
