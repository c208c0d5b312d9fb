use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, HttpServer,
    dev::Extensions,
    http::StatusCode,
    web::{self, ServiceConfig},
};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::sync::watch;

use super::{Doorkeeper, HttpConfig, HttpMetrics, Internal, Problem, drain::Drain, tracking::Tracking};

/// Connections that may wait to be accepted.
const BACKLOG: i32 = 1024;

/// How long the head of a connection's first request may take.
const HEAD_DEADLINE: Duration = Duration::from_secs(5);

/// How long a client may take nothing of what is written to it before the kernel ends the connection.
const STALL_DEADLINE: Duration = Duration::from_secs(30);

/// How long a client may take to end a connection that the server has closed.
const DISCONNECT_DEADLINE: Duration = Duration::from_secs(1);

/// Where a service adds its routes.
pub type Routes = ServiceConfig;

/// A server that listens and is about to run.
#[must_use = "a server serves nothing until it is run"]
pub struct Server {
    http: actix_web::dev::Server,
    listener: Socket,
    port: u16,
    drain: Drain,
    drain_deadline: Duration,
    handle: ServerHandle,
    ended: watch::Sender<bool>,
}

impl Server {
    /// Listens, and serves `configure`'s routes together with everything of `internal`. With a `doorkeeper`, no request meets
    /// a route that it does not let in.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind<F>(
        service: &'static str,
        config: &HttpConfig,
        internal: Internal,
        metrics: HttpMetrics,
        doorkeeper: Option<Arc<dyn Doorkeeper>>,
        configure: F,
    ) -> io::Result<Self>
    where
        F: Fn(&mut Routes) + Clone + Send + 'static,
    {
        let address = SocketAddr::new(config.host, config.port);
        let listener = listening_socket(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        let accepting = std::net::TcpListener::from(listener.try_clone()?);
        let port = accepting.local_addr()?.port();
        let drain = Drain::default();
        let traffic = metrics.clone();
        let all = move |routes: &mut Routes| {
            configure(routes);
            internal.configure(routes, &traffic);
        };
        let (connected, tracking) = (drain.clone(), Tracking::new(metrics, drain.clone(), doorkeeper));
        let http = HttpServer::new(move || {
            App::new()
                .wrap(tracking.clone())
                .app_data(web::QueryConfig::default().error_handler(|error, _| invalid_query(&error).into()))
                .default_service(web::to(not_found))
                .configure(all.clone())
        })
        .workers(config.workers)
        .max_connections(config.max_connections)
        .keep_alive(config.keep_alive)
        .client_request_timeout(HEAD_DEADLINE)
        .client_disconnect_timeout(DISCONNECT_DEADLINE)
        .tcp_nodelay(true)
        .disable_signals()
        .shutdown_timeout(config.drain.as_secs() + 1)
        .on_connect(move |_, connection: &mut Extensions| {
            connection.insert(connected.connection());
        })
        .listen(accepting)?
        .run();
        log::info!("event=listening service={service} address={} port={port}", config.host);
        let (ask, _) = watch::channel(false);
        let (ended, ended_out) = watch::channel(false);
        Ok(Self {
            http,
            listener,
            port,
            drain,
            drain_deadline: config.drain,
            handle: ServerHandle { ask, ended: ended_out },
            ended,
        })
    }

    /// The port that the server listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns what stops the server.
    pub fn handle(&self) -> ServerHandle {
        self.handle.clone()
    }

    /// Serves until [`ServerHandle::stop_gracefully`], and then until every request in progress is answered.
    ///
    /// # Errors
    /// When a worker cannot be started.
    pub async fn run(self) -> io::Result<()> {
        let Self { http, listener, drain, drain_deadline, handle, ended, .. } = self;
        let workers = http.handle();
        let stopping = async {
            handle.asked().await;
            drain.begin();
            drain.refuse_new(&listener, workers.pause()).await;
            drain.quiet(drain_deadline).await;
            // Lets requests in progress finish and closes connections without one. Not awaited: it looks
            // only once a second.
            drop(workers.stop(true));
            let left = drain.emptied(drain_deadline).await;
            if left > 0 {
                log::warn!("event=drain_cut_short connections={left}");
            }
        };
        let outcome = tokio::select! {
            outcome = http => outcome,
            () = stopping => Ok(()),
        };
        ended.send_replace(true);
        outcome
    }
}

/// What a query string that cannot be read is answered with.
fn invalid_query(error: &actix_web::error::QueryPayloadError) -> Problem {
    let cause = match error {
        actix_web::error::QueryPayloadError::Deserialize(cause) => cause.to_string(),
        other => other.to_string(),
    };
    Problem::new(StatusCode::BAD_REQUEST, "invalid query").detail(cause)
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not found")
}

/// Listens on `address`, with a long enough backlog, and so that a client which takes nothing of what is written to
/// it is given up after 30 s.
///
/// # Errors
/// When the address cannot be listened on.
pub fn listening_socket(address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    // Accepted connections inherit it.
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(STALL_DEADLINE))?;
    socket.listen(BACKLOG)?;
    Ok(socket)
}

/// Stops a running server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    ask: watch::Sender<bool>,
    ended: watch::Receiver<bool>,
}

impl ServerHandle {
    /// Takes no more connections, answers every request that was accepted (with `Connection: close`, so that
    /// clients leave), and returns when the last one is answered or the drain's time is over.
    pub async fn stop_gracefully(&self) {
        self.ask.send_replace(true);
        self.ended().await;
    }

    /// Waits until the server has ended, for whatever reason.
    pub async fn ended(&self) {
        let mut ended = self.ended.clone();
        // A server that was dropped has ended too.
        let _ = ended.wait_for(|ended| *ended).await;
    }

    async fn asked(&self) {
        let mut asked = self.ask.subscribe();
        // The sender lives in `self`.
        let _ = asked.wait_for(|asked| *asked).await;
    }
}
