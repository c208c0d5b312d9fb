//! Puts the gateway together, runs it, and takes it apart again.

use std::{
    io,
    process::ExitCode,
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use actix::{Arbiter, System};
use actix_web::web::{self, ServiceConfig};
use common::{
    http::{Condition, HttpMetrics, Internal, Probes, Server, signals},
    supervision::{ESCALATED, Handle, Spec, Supervisor},
    telemetry::metrics::{Metrics, Registry},
};
use tokio::sync::Semaphore;

use crate::{
    config::Config,
    proxy::ProxyActor,
    routes::{self, Front},
    routing::{Route, Table},
    upstream::old::{Endpoint, Health, HealthCheck, UpstreamConfig},
};

/// Runs a gateway until a signal ends it.
pub fn run(config: Config) -> ExitCode {
    System::new().block_on(async {
        let stop = async {
            match signals::stop_requested().await {
                Ok(signal) => log::info!("event=stopping reason={signal}"),
                Err(error) => log::error!("event=signals_not_caught error={:?}", error.to_string()),
            }
        };
        match Gateway::build(config) {
            Ok(gateway) => gateway.run_until_stopped(stop).await,
            Err(error) => {
                log::error!("event=cannot_start error={:?}", error.to_string());
                ExitCode::FAILURE
            }
        }
    })
}

/// A gateway that listens and is about to run.
pub struct Gateway {
    public: Server,
    admin: Server,
    probes: Probes,
    supervisor: Supervisor,
}

impl Gateway {
    /// Listens on both ports and starts asking the services how they are. To be called within an actix system.
    ///
    /// # Errors
    /// When one of the ports cannot be listened on.
    pub fn build(config: Config) -> io::Result<Self> {
        let Config { public, admin, proxy, upstream, faults, .. } = config;
        let mut registry = Registry::default();
        let supervisor = Supervisor::new("gateway", &mut registry);
        let public_metrics = HttpMetrics::register("gateway", &mut registry);
        let admin_metrics = HttpMetrics::register("gateway_admin", &mut registry);
        let proxies = Proxies::default();
        let probes = probes(&supervisor, &proxies, &upstream.endpoints());
        let table = Arc::new(table(&upstream));
        let permits = Arc::new(Semaphore::new(proxy.in_flight.min(Semaphore::MAX_PERMITS)));

        // Runs once on every worker, and again where one is replaced.
        let worker_supervisor = supervisor.clone();
        let configure = move |routes: &mut ServiceConfig| {
            let spec = Spec::new(proxies.next_name());
            let config = proxy.clone();
            let handle = worker_supervisor.supervise_here(spec, move |_| Ok(ProxyActor::new(&config)));
            proxies.add(handle.clone());
            let front = Front {
                table: table.clone(),
                proxy: handle,
                config: proxy.clone(),
                permits: permits.clone(),
            };
            routes.app_data(web::Data::new(Rc::new(front))).default_service(web::to(routes::forward));
        };
        let public = Server::bind_public("gateway", &public, probes.clone(), public_metrics, configure)?;
        let internal = Internal {
            probes: probes.clone(),
            metrics: Metrics::new(registry),
            supervisor: supervisor.clone(),
            faults,
        };
        let admin = Server::bind("gateway_admin", &admin, internal, admin_metrics, |_| {})?;

        let endpoints = upstream.endpoints();
        supervisor.supervise(&Arbiter::current(), Spec::new("upstream-health"), move |_| {
            Ok(HealthCheck::new(endpoints.clone(), upstream.health_every))
        });
        Ok(Self { public, admin, probes, supervisor })
    }

    /// The port of the public server.
    pub fn port(&self) -> u16 {
        self.public.port()
    }

    /// The port of the server for those who run the gateway.
    pub fn admin_port(&self) -> u16 {
        self.admin.port()
    }

    /// Serves until `stop`, then answers every request that was taken, and returns the exit code.
    pub async fn run_until_stopped(self, stop: impl Future<Output = ()>) -> ExitCode {
        let Self { public, admin, probes, supervisor } = self;
        let (public_handle, admin_handle) = (public.handle(), admin.handle());
        let (mut public, mut admin) = (actix::spawn(public.run()), actix::spawn(admin.run()));
        let code = tokio::select! {
            () = stop => ExitCode::SUCCESS,
            () = supervisor.escalated() => ExitCode::from(ESCALATED),
            ended = &mut public => ended_early("public", ended),
            ended = &mut admin => ended_early("admin", ended),
        };
        probes.drain();
        public_handle.stop_gracefully().await;
        admin_handle.stop_gracefully().await;
        supervisor.stop().await;
        log::info!("event=stopped");
        code
    }
}

fn ended_early(server: &str, ended: Result<io::Result<()>, tokio::task::JoinError>) -> ExitCode {
    let why = match ended {
        Ok(Ok(())) => "no reason".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    };
    log::error!("event=server_ended server={server} error={why:?}");
    ExitCode::FAILURE
}

fn table(upstream: &UpstreamConfig) -> Table {
    Table::new(vec![
        Route::new("/api/users", "/users", upstream.users.clone()),
        Route::new("/api/orders", "/orders", upstream.orders.clone()),
    ])
}

/// The actors of every worker, as far as they have started. Cheap to clone.
#[derive(Clone, Default)]
struct Proxies {
    started: Arc<AtomicUsize>,
    handles: Arc<Mutex<Vec<Handle<ProxyActor>>>>,
}

impl Proxies {
    fn next_name(&self) -> String {
        format!("proxy-{}", self.started.fetch_add(1, Ordering::Relaxed))
    }

    fn add(&self, handle: Handle<ProxyActor>) {
        self.handles.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }

    fn condition(&self) -> Condition {
        let handles = self.handles.lock().unwrap_or_else(PoisonError::into_inner);
        let resting: Vec<&str> =
            handles.iter().filter(|handle| !handle.is_healthy()).map(Handle::name).collect();
        match resting.len() {
            0 if handles.is_empty() => Condition::Unready("no worker has started".to_owned()),
            0 => Condition::Ready,
            all if all == handles.len() => Condition::Unready("every proxy is restarting".to_owned()),
            _ => Condition::Degraded(format!("{} is restarting", resting.join(", "))),
        }
    }
}

fn probes(supervisor: &Supervisor, proxies: &Proxies, endpoints: &[Arc<Endpoint>]) -> Probes {
    let (supervisor, proxies) = (supervisor.clone(), proxies.clone());
    let supervision = move || match supervisor.has_escalated() {
        true => Condition::Unready("an actor failed too often".to_owned()),
        false => Condition::Ready,
    };
    let own =
        Probes::new().condition("supervision", supervision).condition("proxies", move || proxies.condition());
    endpoints.iter().fold(own, |probes, endpoint| {
        let endpoint = endpoint.clone();
        probes.condition(endpoint.name(), move || match endpoint.health() {
            Health::Ready => Condition::Ready,
            Health::Unknown => Condition::Degraded("not asked yet".to_owned()),
            Health::Degraded(reason) | Health::Unready(reason) => Condition::Degraded(reason),
        })
    })
}
