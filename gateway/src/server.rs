//! The public port: accepts connections, gives each to a worker, and stops without losing a request.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    rc::Rc,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::Arbiter;
use common::{
    http::{Condition, HttpConfig, OpenConnection, listening_socket},
    supervision::{Handle, Spec, Supervisor},
};
use socket2::Socket;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{mpsc, watch},
    time::sleep,
};

use crate::proxy::{ProxyActor, Session, Shared, Worker, too_many_connections};

/// How soon the gateway accepts again where it could not, or where there are too many connections.
const AGAIN: Duration = Duration::from_millis(20);

/// The public server, listening.
pub struct PublicServer {
    socket: Socket,
    listener: TcpListener,
    port: u16,
    drain_deadline: Duration,
    shared: Arc<Shared>,
    workers: Vec<WorkerThread>,
    next: AtomicUsize,
    clients: Arc<Clients>,
    proxies: Proxies,
}

struct WorkerThread {
    arbiter: Arbiter,
    visits: mpsc::UnboundedSender<Visit>,
    closing: watch::Sender<bool>,
}

/// A connection that a worker is to serve.
struct Visit {
    stream: std::net::TcpStream,
    peer: IpAddr,
    place: Place,
}

impl PublicServer {
    /// Listens, and starts the workers.
    ///
    /// # Errors
    /// When the address cannot be listened on.
    pub fn bind(config: &HttpConfig, shared: Arc<Shared>, supervisor: &Supervisor) -> io::Result<Self> {
        let address = SocketAddr::new(config.host, config.port);
        let socket = listening_socket(address)
            .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}")))?;
        socket.set_nonblocking(true)?;
        let listener = TcpListener::from_std(socket.try_clone()?.into())?;
        let port = listener.local_addr()?.port();
        let proxies = Proxies::default();
        let workers = (0..config.workers)
            .map(|number| WorkerThread::start(number, shared.clone(), supervisor.clone(), &proxies))
            .collect();
        log::info!("event=listening service=gateway address={} port={port}", config.host);
        Ok(Self {
            socket,
            listener,
            port,
            drain_deadline: config.drain,
            shared,
            workers,
            next: AtomicUsize::new(0),
            clients: Arc::default(),
            proxies,
        })
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What readiness says of the workers' actors.
    pub fn proxies(&self) -> Proxies {
        self.proxies.clone()
    }

    /// Accepts connections until this is dropped.
    pub async fn accept(&self) {
        let mut failing = false;
        loop {
            let limits = self.shared.front.load().settings.limits.clone();
            if self.shared.connections.load(Ordering::Relaxed) >= limits.connections {
                // The others wait in the backlog.
                sleep(AGAIN).await;
                continue;
            }
            match self.listener.accept().await {
                Ok((stream, peer)) => {
                    failing = false;
                    self.admit(stream, peer.ip().to_canonical(), limits.connections_per_client);
                }
                Err(error) => {
                    // Said once: where descriptors have run out, it fails again and again.
                    if !failing {
                        log::error!("event=accept_failed error={:?}", error.to_string());
                    }
                    failing = true;
                    sleep(AGAIN).await;
                }
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: IpAddr, most: usize) {
        let trusted = self.shared.front.load().settings.trusted.contain(peer);
        // Behind a proxy there are many clients.
        let most = if trusted { usize::MAX } else { most };
        let Some(place) = Place::take(&self.clients, &self.shared, network(peer), most) else {
            self.shared.metrics.connections_refused.inc();
            // Whether it is read, nobody knows.
            let _ = stream.try_write(&too_many_connections());
            return;
        };
        let prepared = stream.set_nodelay(true).and_then(|()| stream.into_std());
        if let Ok(stream) = prepared {
            let worker = self.next.fetch_add(1, Ordering::Relaxed) % self.workers.len();
            // Fails only where the worker's thread has ended, and then the process does.
            let _ = self.workers[worker].visits.send(Visit { stream, peer, place });
        }
    }

    /// Takes no more connections, answers every request that was accepted (with `Connection: close`, so that clients
    /// leave), and returns when the last one is answered or the drain's time is over.
    pub async fn drain(&self) {
        let drain = &self.shared.drain;
        drain.begin();
        tokio::select! {
            () = self.accept() => {}
            () = drain.refuse_new(&self.socket, async {}) => {}
        }
        drain.quiet(self.drain_deadline).await;
        for worker in &self.workers {
            worker.closing.send_replace(true);
        }
        let left = drain.emptied(self.drain_deadline).await;
        if left > 0 {
            log::warn!("event=drain_cut_short connections={left}");
        }
    }

    /// Ends the workers' threads; to be called when their actors have ended.
    pub fn end(self) {
        for worker in self.workers {
            worker.arbiter.stop();
        }
    }
}

impl WorkerThread {
    fn start(number: usize, shared: Arc<Shared>, supervisor: Supervisor, proxies: &Proxies) -> Self {
        let arbiter = Arbiter::new();
        let (visits, mut incoming) = mpsc::unbounded_channel::<Visit>();
        let (closing, mut closed) = watch::channel(false);
        let proxies = proxies.clone();
        arbiter.spawn_fn(move || {
            let worker = Rc::new(Worker::new(shared));
            let owned = worker.clone();
            let spec = Spec::new(format!("proxy-{number}"));
            proxies.add(supervisor.supervise_here(spec, move |_| Ok(ProxyActor::new(owned.clone()))));
            let serving = worker.clone();
            actix::spawn(async move {
                while let Some(Visit { stream, peer, place }) = incoming.recv().await {
                    // Fails where descriptors or memory for the kernel's events have run out.
                    let Ok(stream) = TcpStream::from_std(stream) else { continue };
                    let worker = serving.clone();
                    actix::spawn(async move {
                        Session::serve(stream, peer, worker).await;
                        drop(place);
                    });
                }
            });
            actix::spawn(async move {
                // The other end is dropped only at the very end.
                if closed.wait_for(|closing| *closing).await.is_ok() {
                    worker.close_idle();
                }
            });
        });
        Self { arbiter, visits, closing }
    }
}

/// By what a client is known: an IPv6 address by its /64, which one subscriber has to itself.
fn network(peer: IpAddr) -> IpAddr {
    match peer {
        IpAddr::V4(_) => peer,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// How many connections each client has.
type Clients = Mutex<HashMap<IpAddr, usize>>;

/// What a connection takes up; free again when this is dropped.
struct Place {
    clients: Arc<Clients>,
    shared: Arc<Shared>,
    peer: IpAddr,
    _open: OpenConnection,
}

impl Place {
    fn take(clients: &Arc<Clients>, shared: &Arc<Shared>, peer: IpAddr, most: usize) -> Option<Self> {
        {
            let mut clients = clients.lock().unwrap_or_else(PoisonError::into_inner);
            let count = clients.entry(peer).or_default();
            if *count >= most {
                return None;
            }
            *count += 1;
        }
        shared.connections.fetch_add(1, Ordering::Relaxed);
        shared.metrics.connections.inc();
        let _open = shared.drain.connection();
        Some(Self { clients: clients.clone(), shared: shared.clone(), peer, _open })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.shared.connections.fetch_sub(1, Ordering::Relaxed);
        self.shared.metrics.connections.dec();
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Entry::Occupied(mut count) = clients.entry(self.peer) {
            *count.get_mut() -= 1;
            if *count.get() == 0 {
                count.remove();
            }
        }
    }
}

/// The actors of every worker, as far as they have started. Cheap to clone.
#[derive(Clone, Default)]
pub struct Proxies(Arc<Mutex<Vec<Handle<ProxyActor>>>>);

impl Proxies {
    fn add(&self, handle: Handle<ProxyActor>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(handle);
    }

    /// What readiness says of them.
    pub fn condition(&self) -> Condition {
        let handles = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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
