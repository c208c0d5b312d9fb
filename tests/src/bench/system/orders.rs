use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use super::running::Running;
use crate::bench::load::{self, Expected, Job, NUMBER, Outcome};
use crate::service::Service;

/// How many customers order at the same time.
const CONNECTIONS: usize = 64;

/// How long a last order may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How many connections wait for answers when far more orders come than can be taken: more than the gateway lets through at
/// once (1,024 a service), and as many as it lets one client have.
const CROWD: usize = 2000;

/// Orders through the gateway in a closed loop, each of its own; the load runs on this core, or anywhere.
pub(super) async fn as_fast_as_taken(
    system: &Running,
    time: Duration,
    has_key: bool,
    core: Option<usize>,
) -> io::Result<Outcome> {
    let key = has_key.then_some("fast");
    load::run_apart(&job(system, key, None, time), core).await
}

/// Orders at a rate, whatever the system does.
pub(super) async fn at_a_rate(system: &Running, time: Duration, rate: f64) -> io::Result<Outcome> {
    load::run_apart(&job(system, None, Some(rate), time), None).await
}

/// Orders at a rate from so many connections that it is kept up whatever the system does; the load
/// runs on this core, or anywhere.
pub(super) async fn from_a_crowd(
    system: &Running,
    time: Duration,
    rate: f64,
    core: Option<usize>,
) -> io::Result<Outcome> {
    let job = Job { connections: CROWD, ..job(system, None, Some(rate), time) };
    load::run_apart(&job, core).await
}

fn job(system: &Running, key: Option<&str>, rate: Option<f64>, time: Duration) -> Job {
    let body = format!(r#"{{"userId":"u1","items":["item {NUMBER}"]}}"#);
    let key = key.map(|key| format!("Idempotency-Key: {key}-{NUMBER}\r\n")).unwrap_or_default();
    let request = format!(
        "POST /api/orders HTTP/1.1\r\nHost: warren.example\r\nContent-Type: application/json\r\n{key}\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Job {
        address: SocketAddr::from((Ipv4Addr::LOCALHOST, system.port(Service::Gateway))),
        connections: CONNECTIONS,
        request,
        expected: Expected::Anything,
        rate,
        warm_up: time / 5,
        time,
        patience: PATIENCE,
        watched: Vec::new(),
    }
}
