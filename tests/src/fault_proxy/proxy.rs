//! The proxy itself: where it listens, and what one can do to it.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::sleep;

use super::connection::connect;
use super::state::{CutAfter, Direction, Flow, State};
use crate::ports;

/// After an accept or a bind that failed.
const PAUSE: Duration = Duration::from_millis(20);

/// Stands before a server and carries its connections, as well or as badly as it is told. Ends with its connections
/// when it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    url: String,
    state: Arc<watch::Sender<State>>,
    listening: AbortHandle,
}

impl FaultProxy {
    /// Listens on a port of the loopback interface for a server at `host:port`, which need not run yet.
    ///
    /// # Errors
    ///
    /// The port is taken.
    pub async fn listen(port: u16, server: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let state = Arc::new(watch::Sender::new(State::default()));
        let listening = tokio::spawn(accept(listener, address, server.to_owned(), state.clone()));
        Ok(Self { address, url: address.to_string(), state, listening: listening.abort_handle() })
    }

    /// Listens on a port of its own, before the server of a URL such as `amqp://user:password@host:port/vhost` or
    /// `http://host:port`.
    ///
    /// # Errors
    ///
    /// The URL names no host and port, or there is no port.
    pub async fn before(url: &str) -> io::Result<Self> {
        let no_server = || io::Error::new(io::ErrorKind::InvalidInput, "the URL names no host and port");
        let (scheme, rest) = url.split_once("://").ok_or_else(no_server)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (login, server) = authority.split_at(authority.rfind('@').map_or(0, |at| at + 1));
        if !server.contains(':') {
            return Err(no_server());
        }
        let mut proxy = Self::listen(ports::free(), server).await?;
        proxy.url = format!("{scheme}://{login}{}{path}", proxy.address);
        Ok(proxy)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The URL that it was made of, with its own address in it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Lets what is sent from now on arrive so much later, and by a random part of `jitter` more; in order all the same.
    pub fn delay(&self, directions: &[Direction], latency: Duration, jitter: Duration) {
        self.each(directions, |way| (way.latency, way.jitter) = (latency, jitter));
    }

    /// Carries so many bytes a second of each connection, at least one.
    pub fn throttle(&self, directions: &[Direction], bytes_per_s: u64) {
        self.each(directions, |way| way.bytes_per_s = Some(bytes_per_s.max(1)));
    }

    /// Holds everything back, ends and resets too, while connections stay open and new ones are accepted. What was held
    /// arrives when all is normal again, as what was sent again and again by TCP would.
    pub fn hold(&self, directions: &[Direction]) {
        self.each(directions, |way| way.flow = Flow::Held);
    }

    /// Throws everything away, ends and resets too, while connections stay open and new ones are accepted. One that has
    /// lost something stays dead when all is normal again: TCP knows no stream with a hole.
    pub fn lose(&self, directions: &[Direction]) {
        self.each(directions, |way| way.flow = Flow::Lost);
    }

    /// Closes every connection at both ends; new ones can be made at once.
    pub fn cut(&self) {
        self.state.send_modify(|state| state.cuts += 1);
    }

    /// Resets every connection at both ends; new ones can be made at once.
    pub fn reset(&self) {
        self.state.send_modify(|state| state.resets += 1);
    }

    /// Cuts every connection and refuses new ones until all is normal again.
    pub fn refuse(&self) {
        self.state.send_modify(|state| {
            state.cuts += 1;
            state.is_refusing = true;
        });
    }

    /// Ends one direction of every connection: its receiver hears FIN, and its sender goes on talking to nobody. The
    /// other direction goes on.
    pub fn half_close(&self, direction: Direction) {
        self.state.send_modify(|state| state.half_close(direction));
    }

    /// Closes, once, the connection that carries the last of so many more bytes in this direction; they arrive, and
    /// nothing after them.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.state.send_modify(|state| state.cut_after = Some(CutAfter { direction, bytes }));
    }

    /// Whether a cut by [`FaultProxy::cut_after`] is still to come.
    pub fn will_cut(&self) -> bool {
        self.state.borrow().cut_after.is_some()
    }

    /// Ends every fault. Connections that were ended stay so, and what was held goes on.
    pub fn normal(&self) {
        self.state.send_modify(State::normalise);
    }

    /// What is wrong at the moment, in words.
    pub fn describe(&self) -> String {
        self.state.borrow().to_string()
    }

    fn each(&self, directions: &[Direction], change: impl Fn(&mut super::state::Way)) {
        self.state.send_modify(|state| {
            for direction in directions {
                change(state.way_mut(*direction));
            }
        });
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

async fn accept(
    mut listener: TcpListener,
    address: SocketAddr,
    server: String,
    state: Arc<watch::Sender<State>>,
) {
    let mut watch = state.subscribe();
    // They end with this task.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = refusal(&mut watch) => {
                // Only without a listener does the kernel refuse.
                drop(listener);
                listener = listen_again(address, &mut watch).await;
            }
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    let born = state.borrow().clone();
                    connections.spawn(connect(client, server.clone(), state.clone(), born));
                }
                Err(_) => sleep(PAUSE).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn refusal(watch: &mut watch::Receiver<State>) {
    // It cannot fail: this task has a sender of its own.
    let _ = watch.wait_for(|state| state.is_refusing).await;
}

/// Listens once nothing is refused any more. The port is the proxy's all the while, by [`ports::free`].
async fn listen_again(address: SocketAddr, watch: &mut watch::Receiver<State>) -> TcpListener {
    loop {
        let is_over = watch.wait_for(|state| !state.is_refusing).await.is_ok();
        match TcpListener::bind(address).await {
            Ok(listener) if is_over => return listener,
            _ => sleep(PAUSE).await,
        }
    }
}
