//! A service that owns data, from start to stop: what users and orders have in common.
//!
//! [`run`] reads the environment, lays a [`Foundation`] (store, supervision, probes), lets the service add its
//! consumers, actors and routes, and serves until SIGTERM, SIGINT or an escalation. Then it stops in an order
//! that loses nothing: readiness goes off, requests in progress are answered, consumers stop, the outbox is
//! flushed, actors end. All of that has one end, whatever a step takes of it.

use std::{
    error::Error,
    process::ExitCode,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use actix::{Arbiter, System};
use tokio::time::timeout;

use crate::{
    broker::{BrokerActor, BrokerConfig, BrokerMetrics, History, StopConsuming, Subscription},
    config::Environment,
    consumer::{EventConsumer, EventHandler, ToActor},
    http::{
        Condition, HttpConfig, HttpMetrics, Internal, Probes, Routes, Server, healthcheck, log_level, signals,
    },
    ledger::{Ledger, LedgerConfig},
    relay::{OutboxRelay, RelayMetrics, Wake},
    stop_time::{self, StopTime},
    store::{
        InboxMetrics, OutboxDepth, Repository, RepositoryHandle, Shortage, StoreConfig, StoreKind,
        StoreMetrics,
    },
    supervision::{ESCALATED, Handle, Spec, Supervisor},
    telemetry::{
        self,
        log::LogConfig,
        metrics::{self, Metrics, Registry},
        spans::SpansConfig,
    },
    timeline::Timeline,
};

/// Exit code for a configuration that cannot be used (`EX_CONFIG` of BSD's sysexits).
pub const MISCONFIGURED: u8 = 78;

/// How long the repository may take to answer.
const REPOSITORY_DEADLINE: Duration = Duration::from_secs(5);

/// How long the ledger may take to write its last lines.
const LEDGER_DEADLINE: Duration = Duration::from_millis(500);

/// Most events of a former process that the ledger looks at.
const LEFT_EVENTS: usize = 10_000;

/// What every service reads from the environment.
#[derive(Clone, Debug)]
pub struct ServiceConfig {
    /// Where it listens.
    pub http: HttpConfig,
    /// Which broker it uses.
    pub broker: BrokerConfig,
    /// Where it keeps its data.
    pub store: StoreConfig,
    /// How much the ledger keeps.
    pub ledger: LedgerConfig,
    /// Whether faults may be injected over HTTP (`DEMO_FAULTS`).
    pub faults: bool,
}

impl ServiceConfig {
    fn from_env(env: &mut Environment, default_port: u16) -> Self {
        Self {
            http: HttpConfig::from_env(env, default_port),
            broker: BrokerConfig::from_env(env),
            store: StoreConfig::from_env(env),
            ledger: LedgerConfig::from_env(env),
            faults: env.flag("DEMO_FAULTS", false),
        }
    }
}

/// Runs a service to its end. `read` reads what is the service's own from the environment; `build` adds its
/// actors and routes. With `--health` as an argument, asks the running service instead whether it is ready.
pub fn run<C>(
    name: &'static str,
    default_port: u16,
    read: impl FnOnce(&mut Environment) -> C,
    build: impl FnOnce(C, Foundation) -> Result<Service, Box<dyn Error>>,
) -> ExitCode {
    let read = |env: &mut Environment| (ServiceConfig::from_env(env, default_port), read(env));
    let (config, own) = match prepare(name, read, |(config, _)| config.http.port) {
        Ok(read) => read,
        Err(code) => return code,
    };
    let code = System::new().block_on(async {
        match build(own, Foundation::lay(name, config)) {
            Ok(service) => service.run_until_stopped().await,
            Err(error) => {
                log::error!("event=cannot_start error={:?}", error.to_string());
                ExitCode::FAILURE
            }
        }
    });
    telemetry::spans::finish();
    code
}

/// Starts logging and reads the environment, which every process of Warren does first. With `--health` as an
/// argument, asks the running service on `port` instead whether it is ready.
///
/// # Errors
/// Returns the exit code where the process is to end here: the answer to `--health`, or [`MISCONFIGURED`].
pub fn prepare<C>(
    name: &'static str,
    read: impl FnOnce(&mut Environment) -> C,
    port: impl FnOnce(&C) -> u16,
) -> Result<C, ExitCode> {
    let mut env = Environment::from_process();
    let log = LogConfig::from_env(&mut env);
    let spans = SpansConfig::from_env(&mut env, name);
    let config = read(&mut env);
    if std::env::args().any(|argument| argument == "--health") {
        return Err(healthcheck(port(&config)));
    }
    telemetry::log::init(name, &log);
    if let Err(error) = env.finish() {
        // Not logged: how to log may be one of the mistakes.
        eprintln!("{name} cannot start: {error}");
        return Err(ExitCode::from(MISCONFIGURED));
    }
    if let Some(spans) = spans {
        telemetry::spans::start(spans);
    }
    Ok(config)
}

/// What a service is built on; it lives and restarts by itself from here on.
pub struct Foundation {
    name: &'static str,
    config: ServiceConfig,
    probes: Probes,
    store_thread: Arbiter,
    broker_thread: Arbiter,
    relay: Arc<OnceLock<Handle<OutboxRelay>>>,
    subscriptions: Vec<Subscription>,
    inbox_metrics: InboxMetrics,
    /// Where the service's own metrics are registered.
    pub registry: Registry,
    /// Keeps the service's own actors alive.
    pub supervisor: Supervisor,
    ledger: Ledger,
    /// The service's data.
    pub repository: RepositoryHandle,
}

impl Foundation {
    fn lay(name: &'static str, config: ServiceConfig) -> Self {
        let mut registry = metrics::registry(name);
        let folder = match config.store.kind {
            StoreKind::Redb => Some(config.store.folder.as_path()),
            StoreKind::Memory => None,
        };
        let timeline = Timeline::open(name, folder);
        let ledger = Ledger::open(name, folder, config.ledger, config.store.reserve_bytes);
        ledger.register(&mut registry);
        let supervisor = Supervisor::new(name, timeline, &mut registry);
        // The store waits for the disk; the broker's heartbeats and the workers must not wait with it.
        let (store_thread, broker_thread) = (Arbiter::new(), Arbiter::new());
        let relay = Arc::new(OnceLock::<Handle<OutboxRelay>>::new());

        let (store, metrics) = (config.store.clone(), StoreMetrics::register(name, &mut registry));
        let shortage = Shortage::default();
        let (woken, noted) = (relay.clone(), ledger.clone());
        let spec = Spec::new("repository");
        let repository = supervisor.supervise(&store_thread.handle(), spec, move |life| {
            let (relay, ledger, generation) = (woken.clone(), noted.clone(), life.generation());
            let on_events = move |events| {
                ledger.committed(events, generation);
                if let Some(relay) = relay.get() {
                    relay.notify(Wake);
                }
            };
            let shortage = shortage.clone();
            let repository = Repository::open(name, &store, metrics.clone(), shortage, on_events, life)?;
            if generation == 1 {
                // What a former process committed, it may have had no time to note. Whether a row can be read is the
                // relay's business.
                noted.found(repository.pending_events(LEFT_EVENTS).unwrap_or_default());
            }
            Ok(repository)
        });
        let repository = RepositoryHandle::new(repository, REPOSITORY_DEADLINE);

        let (stored, kept) = (repository.clone(), supervisor.clone());
        let probes = Probes::new()
            .condition("repository", move || match stored.is_healthy() {
                true => Condition::Ready,
                false => Condition::Unready("restarting".to_owned()),
            })
            .condition("supervision", move || match kept.has_escalated() {
                false => Condition::Ready,
                true => Condition::Unready("an actor failed too often".to_owned()),
            });
        let (subscriptions, inbox_metrics) = (Vec::new(), InboxMetrics::register(name, &mut registry));
        Self {
            name,
            config,
            probes,
            store_thread,
            broker_thread,
            relay,
            subscriptions,
            inbox_metrics,
            registry,
            supervisor,
            ledger,
            repository,
        }
    }

    /// What the environment says of this service.
    pub fn config(&self) -> &ServiceConfig {
        &self.config
    }

    /// Adds a condition to the service's readiness.
    pub fn condition(&mut self, name: &'static str, check: impl Fn() -> Condition + Send + Sync + 'static) {
        self.probes = self.probes.clone().condition(name, check);
    }

    /// Subscribes to the events that `handler` takes.
    pub fn consume<H: EventHandler>(&mut self, handler: H) {
        let (repository, ledger) = (self.repository.clone(), self.ledger.clone());
        let metrics = self.inbox_metrics.clone();
        let spec = Spec::new(format!("consumer:{}", H::QUEUE));
        let consumer = self.supervisor.supervise(&self.store_thread.handle(), spec, move |life| {
            Ok(EventConsumer::new(handler.clone(), repository.clone(), &metrics, ledger.clone(), life))
        });
        self.subscriptions.push(Subscription {
            queue: H::QUEUE,
            routing_keys: H::ROUTING_KEYS,
            consumer: ToActor::shared(consumer),
        });
    }

    /// Connects to the broker and listens; `routes` adds the service's own.
    ///
    /// # Errors
    /// When the address cannot be listened on. A broker that is away is none: the service serves without it.
    pub fn serve(
        self,
        routes: impl Fn(&mut Routes) + Clone + Send + 'static,
    ) -> Result<Service, Box<dyn Error>> {
        let Self { name, config, probes, broker_thread, relay, subscriptions, mut registry, .. } = self;
        let (supervisor, repository, ledger) = (self.supervisor, self.repository, self.ledger);
        let timeline = supervisor.timeline().clone();

        let (link, metrics) = (config.broker.clone(), BrokerMetrics::register(name, &mut registry));
        let spec = BrokerActor::spec(&link);
        let history = History { ledger: ledger.clone(), timeline: timeline.clone() };
        let broker = supervisor.supervise(&broker_thread.handle(), spec, move |life| {
            let (link, metrics) = (link.clone(), metrics.clone());
            Ok(BrokerActor::new(link, subscriptions.clone(), metrics, history.clone(), life))
        });

        let (outbox, link) = (repository.clone(), broker.clone());
        let relaying = RelayMetrics::register(name, &mut registry);
        let metrics = relaying.clone();
        let relayed = supervisor.supervise(&broker_thread.handle(), Spec::new("relay"), move |_| {
            Ok(OutboxRelay::new(outbox.clone(), link.clone(), metrics.clone(), timeline.clone()))
        });
        // Set once, here.
        let _ = relay.set(relayed);

        let (linked, relayed) = (broker.clone(), relaying.clone());
        let probes = probes
            .condition("broker", move || match linked.is_healthy() {
                true => Condition::Ready,
                false => Condition::Degraded("away; events wait in the outbox".to_owned()),
            })
            .condition("outbox", move || match relayed.unreadable() {
                0 => Condition::Ready,
                rows => Condition::Degraded(format!("rows that cannot be read and stay: {rows}")),
            });
        let http_metrics = HttpMetrics::register(name, &mut registry);
        telemetry::spans::register(name, &mut registry);
        let internal = Internal {
            service: name,
            probes: probes.clone(),
            metrics: Metrics::new(registry),
            supervisor: supervisor.clone(),
            ledger: Some(ledger.clone()),
            faults: config.faults,
            link: Some(config.broker.faults()),
        };
        let timeline = supervisor.timeline().clone();
        let routes = move |all: &mut Routes| {
            log_level(all, &timeline);
            routes(all);
        };
        let server = Server::bind(name, &config.http, internal, http_metrics, None, routes)?;
        Ok(Service { server, probes, supervisor, ledger, repository, broker, relaying })
    }
}

/// A service that listens.
pub struct Service {
    server: Server,
    probes: Probes,
    supervisor: Supervisor,
    ledger: Ledger,
    repository: RepositoryHandle,
    broker: Handle<BrokerActor>,
    relaying: RelayMetrics,
}

impl Service {
    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.server.port()
    }

    /// Serves until SIGTERM or SIGINT (exit code 0), until an actor failed too often ([`ESCALATED`]), or until the
    /// server cannot go on.
    pub async fn run_until_stopped(self) -> ExitCode {
        let Self { server, probes, supervisor, ledger, repository, broker, relaying } = self;
        let handle = server.handle();
        let serving = actix::spawn(server.run());
        let (reason, code) = tokio::select! {
            signal = signals::stop_requested() => (signal.unwrap_or("signal"), ExitCode::SUCCESS),
            () = supervisor.escalated() => ("escalated", ExitCode::from(ESCALATED)),
            // Nobody has asked it to; whoever started the process starts it again.
            () = handle.ended() => ("server_ended", ExitCode::FAILURE),
        };
        log::info!("event=stopping reason={reason}");
        probes.drain();
        end_in_time();
        let time = StopTime::begin(Instant::now());
        handle.stop_gracefully().await;
        stop_consuming(&broker, &time).await;
        flush(&repository, &broker, &relaying, &time).await;
        supervisor.stop().await;
        ledger.flush(LEDGER_DEADLINE);
        supervisor.timeline().stopped();
        if let Ok(Err(error)) = serving.await {
            log::error!("event=server_failed error={:?}", error.to_string());
            return ExitCode::FAILURE;
        }
        log::info!("event=stopped reason={reason}");
        if supervisor.has_escalated() { ExitCode::from(ESCALATED) } else { code }
    }
}

async fn stop_consuming(broker: &Handle<BrokerActor>, time: &StopTime) {
    let (within, answered) = time.for_consumers(Instant::now());
    if let Err(error) = broker.ask(StopConsuming { within }, answered).await {
        log::debug!("event=consumers_not_stopped error={:?}", error.to_string());
    }
}

/// Waits until no event that can be read is left in the outbox, as far as the broker is there to take them.
async fn flush(
    repository: &RepositoryHandle,
    broker: &Handle<BrokerActor>,
    relaying: &RelayMetrics,
    time: &StopTime,
) {
    let flushing = async {
        loop {
            let depth = repository.read(OutboxDepth).await;
            if depth.is_ok_and(|depth| depth.waiting <= relaying.unreadable() as u64) {
                return true;
            }
            if !broker.is_healthy() {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if timeout(time.for_outbox(Instant::now()), flushing).await != Ok(true) {
        log::info!("event=outbox_not_flushed");
    }
}

/// Ends the process 24 s from now where it has not ended by then, because whoever asked it to waits no longer. To be
/// called when the stop begins.
pub fn end_in_time() {
    std::thread::spawn(|| {
        std::thread::sleep(stop_time::IN_ALL);
        log::error!("event=stop_took_too_long");
        std::process::exit(1);
    });
}
