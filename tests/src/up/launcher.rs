//! The launcher's own course: check, start, wait until all are ready, say so, and drain at the end.

use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::net::{IpAddr, Ipv4Addr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::admin::Admin;
use super::broker::{self, Broker};
use super::keeper::{Keeper, Misconfigured};
use super::options::Options;
use super::screen::{Screen, Voice};
use super::welcome::welcome;
use crate::http::Http;
use crate::ports;
use crate::service::Service;

/// A service is ready within a second; after this, something is wrong that its own lines tell.
const READY: Duration = Duration::from_secs(60);

/// So is it with a service that has ended this often before it was ready.
const HOPELESS: u32 = 5;

/// Within this a service that has just begun has found its broker, and the gateway has heard of it.
const SETTLED: Duration = Duration::from_secs(2);

/// Within this every service has said whether it can use its environment.
const ENVIRONMENT_READ: Duration = Duration::from_secs(5);

/// Who brings a service back, in its own words about itself.
const KEEPER: &str = "cargo up";

/// Runs the system until a signal ends it.
pub(super) async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    let screen = Screen::new();
    let say = |line: &str| screen.say(Voice::LAUNCHER, line);
    let mut signals = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);

    let host = host()?;
    broker::given(&options.broker)?;
    check_ports(options, host)?;
    ports::promise(options.ports().map(|(port, ..)| port));
    let _lock = lock(&options.data)?;
    let data = fs::canonicalize(&options.data)?;

    let broker = tokio::select! {
        broker = broker::choose(&options.broker, &data, screen) => broker?,
        () = received(&mut signals) => return Ok(()),
    };
    let ends = Service::ALL.map(|_| Arc::default());
    let (tell, mut misconfigured) = mpsc::unbounded_channel();
    let system = Running::start(options, host, &data, &broker, screen, &ends, tell)?;
    let admin = Admin::new(options.admin_port);
    let keep_broker = async {
        match &broker.node {
            Some(node) => broker::keep(node, &admin, screen).await,
            None => std::future::pending().await,
        }
    };

    let serve = async {
        wait_ready(options, &ends).await?;
        let ready = format!("ready after {:.1} s", begun.elapsed().as_secs_f64());
        match degraded(options).await {
            None => say(&ready),
            Some(what) => say(&format!("{ready}, but {what}")),
        }
        welcome(options, &admin, &broker, screen);
        std::future::pending::<Result<(), Box<dyn Error>>>().await
    };
    let result = tokio::select! {
        result = serve => result,
        () = received(&mut signals) => Ok(()),
        Some(first) = misconfigured.recv() => Err(all_mistakes(options, first, &mut misconfigured).await.into()),
        () = keep_broker => Ok(()),
    };

    say(if result.is_ok() { "draining" } else { "stopping what still runs" });
    tokio::select! {
        () = system.drain() => {}
        () = received(&mut signals) => return Err("told to end twice, so what was still draining is killed".into()),
    }
    if let Some(node) = &broker.node {
        node.shut_down().await;
        say(&format!("{} ended", broker::name(node)));
    }
    result
}

/// Returns when SIGINT or SIGTERM has come.
async fn received((interrupt, terminate): &mut (Signal, Signal)) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// The three services.
struct Running {
    gateway: (watch::Sender<bool>, JoinHandle<()>),
    services: (watch::Sender<bool>, [JoinHandle<()>; 2]),
}

impl Running {
    fn start(
        options: &Options,
        host: IpAddr,
        data: &Path,
        broker: &Broker,
        screen: Screen,
        ends: &[Arc<AtomicU32>; 3],
        misconfigured: mpsc::UnboundedSender<Misconfigured>,
    ) -> Result<Self, Box<dyn Error>> {
        let warren = env::current_exe()?;
        let keeper = |service: Service| Keeper {
            service,
            warren: warren.clone(),
            environment: [
                ("HOST", host.to_string()),
                ("PORT", options.port(service).to_string()),
                ("ADMIN_PORT", options.admin_port.to_string()),
                ("AMQP_URL", broker.url.clone()),
                ("USER_URL", format!("http://127.0.0.1:{}", options.users_port)),
                ("ORDER_URL", format!("http://127.0.0.1:{}", options.orders_port)),
                ("DATA_DIR", data.join(service.name()).display().to_string()),
                (common::http::KEEPER, KEEPER.to_owned()),
                ("DEMO_DATA", env::var("DEMO_DATA").unwrap_or_else(|_| "true".into())),
            ]
            .into_iter()
            .chain(policies())
            .collect(),
            screen,
            ends: Arc::clone(&ends[service as usize]),
            misconfigured: misconfigured.clone(),
        };

        let (drain_services, is_draining) = watch::channel(false);
        let services = [Service::Users, Service::Orders]
            .map(|service| tokio::spawn(keeper(service).run(is_draining.clone())));
        let (drain_gateway, is_draining) = watch::channel(false);
        let gateway = tokio::spawn(keeper(Service::Gateway).run(is_draining));
        Ok(Self { gateway: (drain_gateway, gateway), services: (drain_services, services) })
    }

    /// Ends the gateway while the services still answer it, then the services.
    async fn drain(self) {
        let (drain_gateway, gateway) = self.gateway;
        drain_gateway.send_replace(true);
        let _ = gateway.await;

        let (drain_services, [users, orders]) = self.services;
        drain_services.send_replace(true);
        let _ = join(users, orders).await;
    }
}

/// What the gateway asks of its clients where nobody says: next to nothing, so that there is something to try at once.
/// A file of somebody's own is somebody's word.
pub(super) fn policies() -> Vec<(&'static str, String)> {
    let defaults = [("AUTH", "open"), ("RATE_LIMIT", "100000/1")];
    let is_said = |name| env::var(name).is_ok_and(|value| !value.trim().is_empty());
    let unsaid = defaults.into_iter().filter(|(name, _)| !is_said("GATEWAY_CONFIG") && !is_said(name));
    unsaid.map(|(name, value)| (name, value.to_owned())).collect()
}

/// The address that the services listen on, from `HOST`.
fn host() -> Result<IpAddr, String> {
    let host = env::var("HOST").unwrap_or_default();
    match host.trim() {
        "" => Ok(Ipv4Addr::LOCALHOST.into()),
        host => host.parse().map_err(|_| format!("HOST must be an IP address, not {host:?}")),
    }
}

/// Finds out before anything starts whether every port can be had.
fn check_ports(options: &Options, host: IpAddr) -> Result<(), Box<dyn Error>> {
    let ports = options.ports();
    for (index, (port, option, what)) in ports.into_iter().enumerate() {
        if let Some((_, other, _)) = ports[..index].iter().find(|(other, ..)| *other == port) {
            return Err(format!("{other} and {option} are both {port}: give one of them another port").into());
        }
        if let Err(error) = TcpListener::bind((host, port)) {
            return Err(format!(
                "{what} cannot listen on port {port} ({error}): choose another one with {option}"
            )
            .into());
        }
    }
    Ok(())
}

/// Two launchers on one folder would fight over its files.
fn lock(data: &Path) -> Result<File, Box<dyn Error>> {
    let cannot = |error: &dyn Error| {
        format!("cannot use the folder {}, which --data changes: {error}", data.display())
    };
    fs::create_dir_all(data).map_err(|error| cannot(&error))?;
    let file = File::create(data.join("lock")).map_err(|error| cannot(&error))?;
    file.try_lock().map_err(|error| match error {
        fs::TryLockError::WouldBlock => {
            format!("another launcher uses {}: choose another one with --data", data.display())
        }
        fs::TryLockError::Error(error) => cannot(&error),
    })?;
    Ok(file)
}

/// Waits until every service is ready, and gives up on one that does not stay.
async fn wait_ready(options: &Options, ends: &[Arc<AtomicU32>; 3]) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    for (service, ends) in Service::ALL.into_iter().zip(ends) {
        let http = Http::new(format!("http://127.0.0.1:{}", options.port(service)));
        loop {
            let answer = http.get("/health/ready").deadline(Duration::from_secs(2)).send().await;
            if answer.is_ok_and(|answer| answer.status.is_success()) {
                break;
            }
            if begun.elapsed() > READY || ends.load(Ordering::Relaxed) >= HOPELESS {
                return Err(format!("{service} does not become ready; its lines above say why").into());
            }
            sleep(Duration::from_millis(25)).await;
        }
    }
    Ok(())
}

/// Waits until every service has either told what is wrong with its environment or begun to serve, and returns all that is
/// wrong, service by service.
async fn all_mistakes(
    options: &Options,
    first: Misconfigured,
    others: &mut mpsc::UnboundedReceiver<Misconfigured>,
) -> String {
    let begun = Instant::now();
    let mut all = BTreeMap::from([(first.service, first.mistakes)]);
    for service in Service::ALL {
        let http = Http::new(format!("http://127.0.0.1:{}", options.port(service)));
        while !all.contains_key(&service) && begun.elapsed() < ENVIRONMENT_READ {
            if http.get("/health/live").deadline(Duration::from_secs(1)).send().await.is_ok() {
                break;
            }
            match timeout(Duration::from_millis(25), others.recv()).await {
                Ok(Some(other)) => drop(all.insert(other.service, other.mistakes)),
                Ok(None) => break,
                Err(_) => {}
            }
        }
    }
    let each = all.iter().map(|(service, mistakes)| format!("\n  {service}: {mistakes}"));
    format!("the environment cannot be used:{}", each.collect::<String>())
}

/// Says which services serve with something missing, and what, where that does not pass at once.
async fn degraded(options: &Options) -> Option<String> {
    let begun = Instant::now();
    loop {
        let mut services = Vec::new();
        for service in Service::ALL {
            let http = Http::new(format!("http://127.0.0.1:{}", options.port(service)));
            let answer = http.get("/health/ready").deadline(Duration::from_secs(1)).send().await;
            services.extend(answer.ok().and_then(|answer| Some((service, reasons(&answer.body)?))));
        }
        // That the gateway hears of the others' state a little later is no state of the system.
        let own = services.iter().any(|(service, _)| *service != Service::Gateway);
        services.retain(|(service, _)| !own || *service != Service::Gateway);
        if services.is_empty() {
            return None;
        }
        if begun.elapsed() >= SETTLED {
            let each = services.iter().map(|(service, why)| format!("{service} is degraded: {why}"));
            return Some(each.collect::<Vec<_>>().join(", and "));
        }
        sleep(Duration::from_millis(50)).await;
    }
}

/// What is missing, from an answer of `/health/ready`; `None` where nothing is.
fn reasons(body: &[u8]) -> Option<String> {
    let readiness: serde_json::Value = serde_json::from_slice(body).ok()?;
    let reasons: Vec<_> =
        readiness["reasons"].as_array()?.iter().filter_map(|reason| reason.as_str()).collect();
    (!reasons.is_empty()).then(|| reasons.join(", "))
}
