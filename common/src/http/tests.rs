//! A small service on a real socket.

use std::{
    io::{self, BufRead, BufReader, Read, Write},
    net::TcpStream,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Deserialize;
use serde_json::Value;

use super::*;
use crate::{
    supervision::Supervisor,
    telemetry::{
        metrics::{Metrics, Registry},
        trace::Origin,
    },
    timeline::Timeline,
};

const DEADLINE: Duration = Duration::from_secs(5);

#[derive(Deserialize)]
struct Greeting {
    name: String,
}

fn routes(routes: &mut web::ServiceConfig) {
    routes
        .service(web::resource("/greetings/{id}").get(
            |_: web::Path<u32>, origin: RequestOrigin| async move {
                let trace = origin.traceparent.trace_id();
                HttpResponse::Ok().json(serde_json::json!({ "id": origin.request_id, "trace": trace }))
            },
        ))
        .service(web::resource("/greetings").post(|body: JsonBody<Greeting>| async move {
            let JsonBody { value, raw } = body;
            HttpResponse::Created().body(format!("{} {}", value.name, raw.len()))
        }))
        .service(web::resource("/broken").get(|| async {
            Err::<HttpResponse, _>(Problem::internal(&io::Error::other("the secret cause")))
        }))
        .service(web::resource("/panic").get(|| async { panics() }))
        .service(web::resource("/slow").get(|| async {
            tokio::time::sleep(Duration::from_millis(400)).await;
            HttpResponse::Ok().body("slow")
        }))
        .service(web::resource("/work").get(|| async {
            tokio::time::sleep(Duration::from_millis(1)).await;
            HttpResponse::Ok().body("done")
        }));
}

fn panics() -> HttpResponse {
    panic!("on purpose")
}

/// Starts the service on a free port.
fn start(faults: bool) -> (u16, ServerHandle, Probes) {
    let mut registry = Registry::default();
    let metrics = HttpMetrics::register("test", &mut registry);
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut registry);
    let probes = Probes::new();
    let internal = Internal {
        service: "test",
        probes: probes.clone(),
        metrics: Metrics::new(registry),
        supervisor,
        ledger: None,
        faults,
        link: None,
    };
    let server = Server::bind("test", &HttpConfig::default(), internal, metrics, None, routes)
        .expect("a free port can be listened on");
    let (port, handle) = (server.port(), server.handle());
    actix::spawn(server.run());
    (port, handle, probes)
}

/// An answer as it came over the wire.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("the body is JSON")
    }

    fn closes(&self) -> bool {
        self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

fn connect(port: u16) -> io::Result<BufReader<TcpStream>> {
    let stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(DEADLINE))?;
    stream.set_nodelay(true)?;
    Ok(BufReader::new(stream))
}

fn read_answer(stream: &mut BufReader<TcpStream>) -> io::Result<Answer> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    let status = head[9..12].parse().map_err(io::Error::other)?;
    let mut answer = Answer { status, head, body: String::new() };
    let length: usize = answer.header("content-length").and_then(|raw| raw.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    answer.body = String::from_utf8(body).map_err(io::Error::other)?;
    Ok(answer)
}

fn exchange(stream: &mut BufReader<TcpStream>, request: &str) -> io::Result<Answer> {
    stream.get_mut().write_all(request.as_bytes())?;
    read_answer(stream)
}

/// Sends `request` (with a `Host` added) on a connection of its own, off the runtime's thread.
async fn send(port: u16, request: &str) -> Answer {
    let (line, rest) = request.split_once("\r\n").expect("a request has a first line");
    let request = format!("{line}\r\nHost: test\r\n{rest}");
    tokio::task::spawn_blocking(move || exchange(&mut connect(port)?, &request))
        .await
        .expect("the exchange does not panic")
        .expect("the service answers")
}

async fn get(port: u16, path: &str) -> Answer {
    send(port, &format!("GET {path} HTTP/1.1\r\n\r\n")).await
}

async fn post(port: u16, path: &str, content_type: &str, body: &str) -> Answer {
    let length = body.len();
    let head =
        format!("POST {path} HTTP/1.1\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n");
    send(port, &(head + body)).await
}

#[actix::test]
async fn whatever_fails_answers_a_problem_that_names_the_request() {
    let (port, ..) = start(false);
    for (method, path, status, error) in [
        ("GET", "/nowhere", 404, "not found"),
        ("GET", "/greetings/word", 404, "not found"),
        ("DELETE", "/greetings/1", 405, "method not allowed"),
        ("GET", "/broken", 500, "internal server error"),
        ("GET", "/panic", 500, "internal server error"),
    ] {
        let answer = send(port, &format!("{method} {path} HTTP/1.1\r\nX-Request-Id: r-7\r\n\r\n")).await;

        assert_eq!(answer.status, status, "{path}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{path}");
        assert_eq!(answer.header("x-request-id"), Some("r-7"), "{path}");
        let problem = answer.json();
        assert_eq!(problem["requestId"], "r-7", "{path}");
        assert_eq!(problem["status"], status, "{path}");
        assert_eq!(problem["error"], error, "{path}");
        assert!(!answer.body.contains("secret") && !answer.body.contains("purpose"), "{}", answer.body);
    }
    assert_eq!(send(port, "PUT /greetings HTTP/1.1\r\n\r\n").await.header("allow"), Some("POST"));
}

#[actix::test]
async fn the_callers_trace_and_id_are_taken_up_and_bad_ones_replaced() {
    let (port, ..) = start(false);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let given = format!("X-Request-Id: r-7\r\nTraceparent: 00-{trace}-00f067aa0ba902b7-01\r\n");

    let known = send(port, &format!("GET /greetings/1 HTTP/1.1\r\n{given}\r\n")).await;
    let bad = send(port, "GET /greetings/1 HTTP/1.1\r\nX-Request-Id: a b\r\nTraceparent: x\r\n\r\n").await;

    assert_eq!(known.json(), serde_json::json!({ "id": "r-7", "trace": trace }));
    assert_eq!(bad.header("x-request-id"), bad.json()["id"].as_str());
    assert_eq!(bad.json()["id"].as_str().map(str::len), Some(36));
}

#[actix::test]
async fn a_body_must_be_json_of_the_right_shape_and_size() {
    let (port, ..) = start(false);
    let large = format!("{{\"name\":\"{}\"}}", "x".repeat(65_536));
    for (content_type, body, status) in [
        ("application/json", "{\"name\":\"Ada\"}", 201),
        ("application/json; charset=utf-8", "{\"name\":\"Ada\"}", 201),
        ("text/plain", "{\"name\":\"Ada\"}", 415),
        ("application/json", "{\"name\":", 400),
        ("application/json", "{\"name\":5}", 400),
        ("application/json", "", 400),
        ("application/json", large.as_str(), 413),
    ] {
        let answer = post(port, "/greetings", content_type, body).await;

        assert_eq!(answer.status, status, "{content_type} {:.20}", body);
        assert!(status == 201 || answer.json()["requestId"].is_string());
    }
    let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
    let chunked = format!(
        "POST /greetings HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        chunk.repeat(3)
    );
    assert_eq!(send(port, &chunked).await.status, 413);
}

#[actix::test]
async fn probes_metrics_and_actors_are_shown() {
    let (port, _, probes) = start(false);
    get(port, "/greetings/1").await;
    get(port, "/greetings/2").await;

    assert_eq!(get(port, "/health/live").await.json(), serde_json::json!({ "status": "live" }));
    assert_eq!(get(port, "/health/ready").await.json(), serde_json::json!({ "status": "ready" }));
    let ready = move || healthcheck(port) == std::process::ExitCode::SUCCESS;
    assert!(tokio::task::spawn_blocking(ready).await.expect("the check does not panic"));
    let _ = probes.clone().condition("store", || Condition::Unready("disk full".to_owned()));
    let unready = get(port, "/health/ready").await;
    assert_eq!((unready.status, unready.header("retry-after")), (503, Some("1")));
    assert_eq!(unready.json()["reasons"], serde_json::json!(["store: disk full"]));
    assert!(!tokio::task::spawn_blocking(ready).await.expect("the check does not panic"));
    let metrics = get(port, "/metrics").await.body;
    let counted = "test_http_requests_total{method=\"GET\",route=\"/greetings/{id}\",status=\"200\"} 2";
    assert!(metrics.contains(counted), "{metrics}");
    assert_eq!(get(port, "/actors").await.json()["service"], "test");
}

#[actix::test]
async fn what_probes_and_consoles_ask_is_no_traffic() {
    let (port, _, probes) = start(true);
    get(port, "/greetings/1").await;
    get(port, "/nowhere").await;
    get(port, "/panic").await;

    let _ = probes.condition("store", || Condition::Unready("disk full".to_owned()));
    for path in ["/health/live", "/health/ready", "/metrics", "/actors", "/timeline", "/actors/store/fault"] {
        get(port, path).await;
    }

    let counts = &get(port, "/actors").await.json()["counts"];
    assert_eq!(*counts, serde_json::json!({ "requests": 3, "failures": 1 }));
    let metrics = get(port, "/metrics").await.body;
    assert!(metrics.contains("route=\"/health/ready\",status=\"503\"} 1"), "{metrics}");
}

#[actix::test]
async fn faults_are_taken_only_where_they_are_allowed() {
    let (port, ..) = start(false);
    let fault = "{\"kind\":\"panic\"}";
    assert_eq!(post(port, "/actors/store/fault", "application/json", fault).await.status, 404);
    let (port, ..) = start(true);
    let unknown = post(port, "/actors/store/fault", "application/json", fault).await;
    assert_eq!((unknown.status, unknown.json()["error"].as_str()), (404, Some("no such actor")));
}

#[actix::test]
async fn the_client_carries_the_origin_and_tells_why_it_failed() {
    let (port, handle, _) = start(false);
    let (client, origin) = (Client::new(ClientConfig::default()), Origin::fresh());
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");

    let answer = client.get(&url("/greetings/1"), &origin, DEADLINE).await.expect("the service answers");
    let missing = client.get(&url("/nowhere"), &origin, DEADLINE).await.expect("a 404 is an answer");
    let late = client.get(&url("/slow"), &origin, Duration::from_millis(50)).await.expect_err("too slow");
    handle.stop_gracefully().await;
    let refused = client.get(&url("/greetings/1"), &origin, DEADLINE).await.expect_err("it has stopped");

    let seen: Value = serde_json::from_slice(&answer.body).expect("the body is JSON");
    assert_eq!(seen["id"], origin.request_id.as_str());
    assert_eq!(seen["trace"], origin.traceparent.trace_id().as_str());
    assert_eq!(missing.status.as_u16(), StatusCode::NOT_FOUND.as_u16());
    assert!(late.is_late() && !late.is_connect(), "{late}");
    assert!(refused.is_connect(), "{refused:?}");
}

#[actix::test]
async fn a_stop_lets_a_slow_request_finish_and_idle_connections_do_not_hold_it_up() {
    let (port, handle, _) = start(false);
    let mut idle = connect(port).expect("the service listens");
    let used = tokio::task::spawn_blocking(move || {
        exchange(&mut idle, "GET /work HTTP/1.1\r\nHost: test\r\n\r\n").expect("the service answers");
        idle
    });
    let mut idle = used.await.expect("the exchange does not panic");
    let slow = actix::spawn(async move { get(port, "/slow").await });
    tokio::time::sleep(Duration::from_millis(100)).await;

    let asked = Instant::now();
    handle.stop_gracefully().await;

    assert!(asked.elapsed() < Duration::from_secs(2), "{:?}", asked.elapsed());
    let slow = slow.await.expect("the exchange does not panic");
    assert_eq!((slow.status, slow.body.as_str(), slow.closes()), (200, "slow", true));
    assert_eq!(idle.read(&mut [0; 1]).expect("the idle connection was ended in order"), 0);
    assert!(connect(port).is_err(), "nobody listens any more");
}

#[actix::test]
async fn a_stop_under_load_fails_no_request() {
    static ANSWERED: AtomicUsize = AtomicUsize::new(0);
    let (port, handle, _) = start(false);
    let clients: Vec<_> =
        (0..16).map(|_| thread::spawn(move || work_until_refused(port, &ANSWERED))).collect();
    tokio::time::sleep(Duration::from_millis(300)).await;

    handle.stop_gracefully().await;

    for client in clients {
        let outcome = tokio::task::spawn_blocking(|| client.join()).await.expect("joining does not panic");
        outcome.expect("the client does not panic").expect("no request fails");
    }
    assert!(ANSWERED.load(Ordering::Relaxed) > 100);
}

/// Asks over one kept-alive connection after another, as a pool does: a connection whose answer says so is left.
/// Ends well when a new connection is refused.
fn work_until_refused(port: u16, answered: &AtomicUsize) -> io::Result<()> {
    loop {
        let mut stream = match connect(port) {
            Ok(stream) => stream,
            Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) => return Err(error),
        };
        loop {
            let answer = exchange(&mut stream, "GET /work HTTP/1.1\r\nHost: test\r\n\r\n")?;
            if answer.status != 200 || answer.body != "done" {
                return Err(io::Error::other(answer.head));
            }
            answered.fetch_add(1, Ordering::Relaxed);
            if answer.closes() {
                break;
            }
        }
    }
}
