//! The actor that asks, against a service that answers what it is told.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpListener},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use common::{
    http::Condition,
    supervision::{Spec, Supervisor},
    telemetry::metrics::Registry,
    timeline::Timeline,
};

use super::{SECOND, choose, eject, eventually, settings};
use crate::{
    settings::{BreakerSettings, UpstreamSettings},
    upstream::{HealthCheck, Upstreams},
};

/// Answers every request with what it is told to answer, and keeps the last head.
struct Service {
    address: SocketAddr,
    answer: Arc<Mutex<&'static str>>,
    asked: Arc<Mutex<String>>,
}

impl Service {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let service = Self {
            address: listener.local_addr().expect("bound"),
            answer: Arc::new(Mutex::new(READY)),
            asked: Arc::default(),
        };
        let (answer, asked) = (service.answer.clone(), service.asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.expect("a connection");
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                *asked.lock().unwrap_or_else(PoisonError::into_inner) =
                    String::from_utf8_lossy(&head).to_lowercase();
                let text = *answer.lock().unwrap_or_else(PoisonError::into_inner);
                // Who asks may have given up.
                let _ = stream.write_all(text.as_bytes());
            }
        });
        service
    }

    fn answers(&self, answer: &'static str) {
        *self.answer.lock().expect("whole") = answer;
    }

    fn asked(&self) -> String {
        self.asked.lock().expect("whole").clone()
    }
}

const READY: &str = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 2\r\n\r\n{}";
const DEGRADED: &str =
    "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 28\r\n\r\n{\"reasons\":[\"broker: away\"]}";
const UNREADY: &str = "HTTP/1.1 503 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// Watches `all`, which are asked often and probed only by the health check.
fn watch(all: &[UpstreamSettings]) -> (Upstreams, Supervisor) {
    let mut registry = Registry::default();
    let upstreams = Upstreams::new(&mut registry, Timeline::open("gateway", None));
    upstreams.apply(&all.iter().cloned().map(often).collect::<Vec<_>>());
    let supervisor = Supervisor::new("gateway", Timeline::open("gateway", None), &mut registry);
    let watched = upstreams.clone();
    supervisor.supervise_here(Spec::new("upstream-health"), move |_| Ok(HealthCheck::new(watched.clone())));
    (upstreams, supervisor)
}

fn often(settings: UpstreamSettings) -> UpstreamSettings {
    let breaker = BreakerSettings { probe_after: 3600 * SECOND, ..BreakerSettings::default() };
    UpstreamSettings { health_every: Duration::from_millis(20), breaker, ..settings }
}

#[actix::test]
async fn every_endpoint_is_asked_at_its_address_under_its_name() {
    let service = Service::start();
    let url = format!("http://localhost:{}/base", service.address.port());
    let (upstreams, _supervisor) = watch(&[settings("users", &[&url])]);
    let users = upstreams.get("users").expect("applied");

    eventually("it is heard to be ready", || users.condition() == Condition::Ready).await;

    let asked = service.asked();
    assert!(asked.starts_with("get /base/health/ready http/1.1\r\n"), "{asked}");
    assert!(asked.contains(&format!("\r\nhost: localhost:{}\r\n", service.address.port())), "{asked}");
}

#[actix::test]
async fn readiness_names_what_is_missing() {
    let service = Service::start();
    let (upstreams, _supervisor) = watch(&[settings("users", &[&format!("http://{}", service.address)])]);
    let users = upstreams.get("users").expect("applied");
    let is = |reason: &str| users.condition() == Condition::Degraded(reason.to_owned());
    assert!(is("not asked yet"));

    eventually("ready", || users.condition() == Condition::Ready).await;
    service.answers(DEGRADED);
    eventually("degraded", || is("broker: away")).await;
    assert!(!users.endpoints()[0].is_unready(), "it is used like a ready one");
    service.answers(UNREADY);
    eventually("unready", || is("answers 503")).await;

    assert!(users.choose(None, Instant::now()).is_ok(), "there is no better one");
}

#[actix::test]
async fn an_unready_endpoint_is_avoided_while_another_is_usable() {
    let (well, away) = (Service::start(), Service::start());
    away.answers(UNREADY);
    let urls = [format!("http://{}", away.address), format!("http://{}", well.address)];
    let (upstreams, _supervisor) = watch(&[settings("users", &[&urls[0], &urls[1]])]);
    let users = upstreams.get("users").expect("applied");

    eventually("one is unready", || users.endpoints()[0].is_unready()).await;

    let chosen = (0..100).map(|_| choose(&users, Instant::now()).endpoint().address());
    assert!(chosen.into_iter().all(|address| address == well.address));
    eventually("one is ready", || users.condition() == Condition::Ready).await;
}

#[actix::test]
async fn an_endpoint_that_was_away_takes_requests_as_soon_as_it_is_heard_to_be_well() {
    let service = Service::start();
    let (upstreams, supervisor) = watch(&[settings("users", &[&format!("http://{}", service.address)])]);
    let users = upstreams.get("users").expect("applied");
    service.answers(UNREADY);
    eventually("unready", || users.endpoints()[0].is_unready()).await;
    eject(&users, users.endpoints()[0].id(), Instant::now());
    assert!(users.choose(None, Instant::now()).is_err());
    let shown = supervisor.report().await;
    let shown = serde_json::to_value(&shown[0].observed).expect("JSON");
    assert_eq!(shown["upstreams"][0]["endpoints"][0]["breaker"], "open", "{shown}");
    assert_eq!(shown["upstreams"][0]["endpoints"][0]["health"]["state"], "unready", "{shown}");

    service.answers(READY);

    eventually("it is back", || users.choose(None, Instant::now()).is_ok()).await;
}

#[actix::test]
async fn an_upstream_of_new_settings_is_asked_too() {
    let services = [Service::start(), Service::start()];
    let [users, orders] = services.each_ref().map(|service| format!("http://{}", service.address));
    let users = settings("users", &[&users]);
    let (upstreams, _supervisor) = watch(std::slice::from_ref(&users));
    let is_ready =
        |name: &str| upstreams.get(name).is_some_and(|upstream| upstream.condition() == Condition::Ready);
    eventually("the first is ready", || is_ready("users")).await;

    upstreams.apply(&[often(users), often(settings("orders", &[&orders]))]);

    eventually("the second is ready", || is_ready("orders")).await;
}
