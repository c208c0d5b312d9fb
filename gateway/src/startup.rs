//! Puts the gateway together, runs it, and takes it apart again.

use std::{
    io,
    net::SocketAddr,
    process::ExitCode,
    sync::{Arc, atomic::AtomicUsize},
};

use actix::{Arbiter, System};
use arc_swap::ArcSwap;
use common::{
    http::{Condition, Drain, HttpMetrics, Internal, Probes, Routes, Server, signals},
    service,
    supervision::{ESCALATED, Spec, Supervisor},
    telemetry::{
        metrics::{self, AtScrape, Metrics},
        spans,
    },
    timeline::{IncidentKind, Timeline},
};
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
    api::{ApiDescription, DescribedRoute, DescribedUpstream, Fetcher, Outline},
    config::Config,
    console::{
        Access, Audience, Console, DeadLetterDesk, Feed, Fleet, StatusBoard,
        board::{Own, Round},
        experiment, routes,
    },
    guard::{Keys, KeysActor, KeysSource},
    policy::Limiter,
    proxy::{Front, ProxyMetrics, Shared, Uploads},
    reload::{self, Reloading},
    server::PublicServer,
    settings::{AuthMode, Settings},
    upstream::{Endpoint, HealthCheck, Upstreams},
};

/// How many clients are counted for the rate limits, at a few dozen bytes each.
const LIMITED_CLIENTS: usize = 100_000;

/// Runs a gateway until a signal ends it.
pub fn run(config: Config) -> ExitCode {
    let code = System::new().block_on(async {
        let stop = async {
            match signals::stop_requested().await {
                Ok(signal) => log::info!("event=stopping reason={signal}"),
                Err(error) => log::error!("event=signals_not_caught error={:?}", error.to_string()),
            }
        };
        match Gateway::build(config) {
            Ok(gateway) => gateway.run_until_stopped(stop, service::end_in_time).await,
            Err(error) => {
                log::error!("event=cannot_start error={:?}", error.to_string());
                ExitCode::FAILURE
            }
        }
    });
    spans::finish();
    code
}

/// A gateway that listens and is about to run.
pub struct Gateway {
    public: PublicServer,
    admin: Server,
    probes: Probes,
    supervisor: Supervisor,
    feed: Feed,
    board_thread: Arbiter,
    reloading: Reloading,
    hangups: Signal,
}

impl Gateway {
    /// Listens on both ports and starts asking the services how they are. To be called within an actix system.
    ///
    /// # Errors
    /// When one of the ports cannot be listened on.
    pub fn build(config: Config) -> io::Result<Self> {
        let Config {
            public,
            admin,
            admin_token,
            admin_names,
            settings,
            file,
            overrides,
            broker,
            data,
            faults,
        } = config;
        // Before anything else: until it is caught, the signal ends the process.
        let hangups = signal(SignalKind::hangup())?;
        if settings.auth.mode == AuthMode::Open {
            log::warn!(
                "event=auth_open meaning=\"whoever has no token may do everything; AUTH=required changes that\""
            );
        }
        let mut registry = metrics::registry("gateway");
        let supervisor =
            Supervisor::new("gateway", Timeline::open("gateway", data.as_deref()), &mut registry);
        let upstreams = Upstreams::new(&mut registry, supervisor.timeline().clone());
        upstreams.apply(&settings.upstreams);
        let probes = Probes::new();
        let shared = Arc::new(Shared {
            front: ArcSwap::from_pointee(reload::front(settings, &upstreams)),
            limiter: Limiter::new(LIMITED_CLIENTS),
            in_flight: AtomicUsize::new(0),
            uploads: Uploads::default(),
            connections: AtomicUsize::new(0),
            probes: probes.clone(),
            api: ApiDescription::new(),
            keys: Keys::default(),
            metrics: ProxyMetrics::register(&mut registry),
            drain: Drain::default(),
        });
        spans::register("gateway", &mut registry);
        let admin_metrics = HttpMetrics::register("gateway_admin", &mut registry);
        let public_host = public.host;
        let public = PublicServer::bind(&public, shared.clone(), &supervisor)?;
        let timeline = supervisor.timeline().clone();
        let desk = DeadLetterDesk::new(broker, move |what| {
            timeline.note(IncidentKind::Operator, "dead-letters", what);
        });
        let counted = desk.clone();
        registry.register(
            "warren_dead_letters_waiting",
            "Events that were given up on and wait for an operator, as last counted",
            AtScrape::gauge_if_known(move || counted.waiting().map(|waiting| waiting.count as f64)),
        );
        let internal = Internal {
            service: "gateway",
            probes: probes.clone(),
            metrics: Metrics::new(registry),
            supervisor: supervisor.clone(),
            ledger: None,
            faults,
            link: None,
        };
        let (audience, feed) = (Audience::default(), Feed::default());
        let access = Arc::new(Access::new(admin_token, admin_names));
        let console = Console {
            access: access.clone(),
            audience: audience.clone(),
            feed: feed.clone(),
            upstreams: upstreams.clone(),
            timeline: supervisor.timeline().clone(),
        };
        let here = Arbiter::current();
        let entry = SocketAddr::new(public_host, public.port());
        let front = shared.clone();
        let asks_for_tokens = move || front.front.load().settings.auth.mode == AuthMode::Required;
        let experiments =
            faults.then(|| experiment::open(&supervisor, &here, &upstreams, entry, asks_for_tokens, &feed));
        let (known, offered, letters) = (upstreams.clone(), experiments.clone(), desk.clone());
        let routes = move |routes: &mut Routes| {
            console.configure(routes);
            routes::dead_letters::configure(routes, letters.clone());
            if let Some(handle) = &offered {
                routes::experiments::configure(routes, handle.clone(), Fleet::new(known.clone()));
            }
        };
        let admin = Server::bind("gateway_admin", &admin, internal, admin_metrics, Some(access), routes)?;
        watch(&probes, &supervisor, &public, &upstreams);

        let watched = upstreams.clone();
        supervisor
            .supervise(&here, Spec::new("upstream-health"), move |_| Ok(HealthCheck::new(watched.clone())));
        let (front, known, keys) = (shared.clone(), upstreams.clone(), shared.keys.clone());
        let source = KeysSource::new(move || key_urls(&front.front.load(), &known), "");
        supervisor.supervise(&here, Spec::new("auth-keys"), move |_| {
            Ok(KeysActor::new(source.clone(), keys.clone()))
        });
        let (front, known, api) = (shared.clone(), upstreams.clone(), shared.api.clone());
        let outline: Arc<dyn Fn() -> Outline + Send + Sync> =
            Arc::new(move || outline(&front.front.load().settings, &known));
        supervisor.supervise(&here, Spec::new(Fetcher::NAME), move |_| {
            Ok(Fetcher::new(api.clone(), outline.clone()))
        });

        let own = Own {
            supervisor: supervisor.clone(),
            probes: probes.clone(),
            address: SocketAddr::new(public_host, public.port()).to_string(),
            faults,
            dead_letters: desk,
            experiments,
        };
        // Whoever watches costs the public port nothing.
        let board_thread = Arbiter::new();
        let (asked, shown) = (upstreams.clone(), feed.clone());
        supervisor.supervise(&board_thread.handle(), Spec::new(StatusBoard::NAME), move |_| {
            let round = Round::new(Fleet::new(asked.clone()), own.clone());
            Ok(StatusBoard::new(round, audience.clone(), shown.clone()))
        });

        let reloading = Reloading { file, overrides, upstreams, shared };
        Ok(Self { public, admin, probes, supervisor, feed, board_thread, reloading, hangups })
    }

    /// The port of the public server.
    pub fn port(&self) -> u16 {
        self.public.port()
    }

    /// The port of the server for those who run the gateway.
    pub fn admin_port(&self) -> u16 {
        self.admin.port()
    }

    /// Serves until `stop`, then answers every request that was taken, and returns the exit code. Calls `stopping` in
    /// between, which sees to it that this does not take too long.
    pub async fn run_until_stopped(
        self,
        stop: impl Future<Output = ()>,
        stopping: impl FnOnce(),
    ) -> ExitCode {
        let Self { public, admin, probes, supervisor, feed, board_thread, reloading, hangups } = self;
        let admin_handle = admin.handle();
        let mut admin = actix::spawn(admin.run());
        let code = tokio::select! {
            () = stop => ExitCode::SUCCESS,
            () = supervisor.escalated() => ExitCode::from(ESCALATED),
            () = public.accept() => ExitCode::FAILURE,
            () = reload_when_asked(hangups, &reloading) => ExitCode::FAILURE,
            ended = &mut admin => ended_early("admin", ended),
        };
        stopping();
        probes.drain();
        // Streams do not end by themselves.
        feed.close();
        tokio::join!(public.drain(), admin_handle.stop_gracefully());
        supervisor.stop().await;
        board_thread.stop();
        public.end();
        supervisor.timeline().stopped();
        log::info!("event=stopped");
        code
    }
}

/// Reads the settings again at every SIGHUP; does not return.
async fn reload_when_asked(mut hangups: Signal, reloading: &Reloading) {
    while hangups.recv().await.is_some() {
        reloading.reload_and_log();
    }
    std::future::pending().await
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

/// Where the keys are just now: at every endpoint of the service that signs tokens.
fn key_urls(front: &Front, upstreams: &Upstreams) -> Vec<String> {
    let auth = &front.settings.auth;
    let upstream = upstreams.get(&auth.keys_upstream);
    let endpoints = upstream.map(|upstream| upstream.endpoints()).unwrap_or_default();
    let url = |endpoint: &Arc<Endpoint>| {
        format!("http://{}{}{}", endpoint.address(), endpoint.base_path(), auth.keys_path)
    };
    endpoints.iter().map(url).collect()
}

/// What the description of the API is made of.
fn outline(settings: &Settings, upstreams: &Upstreams) -> Outline {
    let routes = settings.routes.iter().map(|route| DescribedRoute {
        path: route.path.clone(),
        target: route.target.clone(),
        upstream: route.upstream.clone(),
        public: route.public.iter().map(|call| (call.method.clone(), call.path.clone())).collect(),
    });
    let all = upstreams.all();
    let described = all.iter().map(|upstream| DescribedUpstream {
        name: upstream.name().to_owned(),
        base_url: upstream
            .endpoints()
            .first()
            .map(|endpoint| format!("http://{}{}", endpoint.address(), endpoint.base_path())),
    });
    Outline {
        routes: routes.collect(),
        upstreams: described.collect(),
        auth_required: settings.auth.mode == AuthMode::Required,
        rate_limited: settings.rate_limit.is_some()
            || settings.routes.iter().any(|route| route.rate_limit.is_some()),
    }
}

/// Adds what readiness depends on.
fn watch(probes: &Probes, supervisor: &Supervisor, public: &PublicServer, upstreams: &Upstreams) {
    let (supervisor, proxies) = (supervisor.clone(), public.proxies());
    let supervision = move || match supervisor.has_escalated() {
        true => Condition::Unready("an actor failed too often".to_owned()),
        false => Condition::Ready,
    };
    let upstreams = upstreams.clone();
    let _ = probes
        .clone()
        .condition("supervision", supervision)
        .condition("proxies", move || proxies.condition())
        .conditions(move || {
            upstreams.all().iter().map(|it| (it.name().to_owned(), it.condition())).collect()
        });
}
