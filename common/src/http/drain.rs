//! Stops a server without cutting off a request.
//!
//! actix's graceful stop lets requests in progress finish, but it closes idle keep-alive connections without
//! looking whether a request has just arrived on them, drops connections that wait for a worker, and leaves
//! those in the kernel's backlog to be reset. So before it is told to stop:
//!
//! 1. every answer says `Connection: close`, so that clients leave of their own accord;
//! 2. the kernel takes no new connection, and what it has completed is accepted;
//! 3. the server waits until nothing new has happened for a while.

use std::{
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use socket2::Socket;
use tokio::time::{Instant, sleep};

/// A drain without a new connection or request for this long is quiet.
const QUIET: Duration = Duration::from_millis(250);

/// The longest wait for quiet.
pub(crate) const QUIET_MAX: Duration = Duration::from_secs(2);

/// How often a drain looks at what is left.
const TICK: Duration = Duration::from_millis(10);

/// How long the acceptor may take to take what the kernel has completed.
const ACCEPT: Duration = Duration::from_millis(20);

/// What is open and what has happened lately on one server. Cheap to clone.
#[derive(Clone, Default)]
pub struct Drain(Arc<Counts>);

#[derive(Default)]
struct Counts {
    draining: AtomicBool,
    open: AtomicUsize,
    /// Connections so far, and requests since the drain began.
    arrivals: AtomicU64,
}

/// Counts a connection as long as it is open.
pub struct OpenConnection(Drain);

impl Drain {
    /// Counts a new connection.
    pub fn connection(&self) -> OpenConnection {
        self.0.open.fetch_add(1, Ordering::Relaxed);
        self.0.arrivals.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self.clone())
    }

    /// Notes a new request.
    pub fn request(&self) {
        // Before the drain nobody asks how many there were, and all workers would write to one place.
        if self.is_draining() {
            self.0.arrivals.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Whether answers are to say that the connection ends.
    pub fn is_draining(&self) -> bool {
        self.0.draining.load(Ordering::Relaxed)
    }

    /// From now on every answer ends its connection.
    pub fn begin(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Lets the kernel refuse new connections, without resetting one that it has already completed.
    ///
    /// First it drops what asks for a connection (the client asks again after a second), then the acceptor
    /// takes those that are complete, and then the socket stops listening, so that clients are refused at once.
    pub async fn refuse_new(&self, listener: &Socket, pause_accepting: impl Future<Output = ()>) {
        if let Err(error) = ignore_syn(listener) {
            log::debug!("event=syn_filter_refused error={:?}", error.to_string());
        }
        sleep(ACCEPT).await;
        pause_accepting.await;
        sleep(TICK).await;
        // Linux ends listening so; elsewhere the socket listens until the acceptor drops it.
        if let Err(error) = listener.shutdown(Shutdown::Read) {
            log::debug!("event=listener_not_shut_down error={:?}", error.to_string());
        }
    }

    /// Waits until nothing has arrived for a while, or nothing is open, but never longer than half of `deadline`.
    pub async fn quiet(&self, deadline: Duration) {
        let end = Instant::now() + QUIET_MAX.min(deadline / 2);
        let mut seen = self.arrivals();
        let mut since = Instant::now();
        while self.open() > 0 && Instant::now() < end && since.elapsed() < QUIET {
            sleep(TICK).await;
            let arrivals = self.arrivals();
            if arrivals != seen {
                (seen, since) = (arrivals, Instant::now());
            }
        }
    }

    /// Waits until no connection is open, at most for `deadline`; returns how many are left.
    pub async fn emptied(&self, deadline: Duration) -> usize {
        let end = Instant::now() + deadline;
        while self.open() > 0 && Instant::now() < end {
            sleep(TICK).await;
        }
        self.open()
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.0.open.load(Ordering::Relaxed)
    }

    fn arrivals(&self) -> u64 {
        self.0.arrivals.load(Ordering::Relaxed)
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.0.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Makes the kernel drop every packet to `listener` that asks for a new connection; the later packets of a
/// handshake pass.
#[cfg(target_os = "linux")]
fn ignore_syn(listener: &Socket) -> std::io::Result<()> {
    use socket2::SockFilter;

    const LOAD_BYTE: u16 = 0x30;
    const JUMP_IF_SET: u16 = 0x45;
    const RETURN: u16 = 0x06;
    const FLAGS_OFFSET: u32 = 13;
    const ACK: u32 = 0x10;
    const SYN: u32 = 0x02;
    listener.attach_filter(&[
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_OFFSET),
        SockFilter::new(JUMP_IF_SET, 1, 0, ACK),
        SockFilter::new(JUMP_IF_SET, 1, 0, SYN),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
        SockFilter::new(RETURN, 0, 0, 0),
    ])
}

#[cfg(not(target_os = "linux"))]
fn ignore_syn(_: &Socket) -> std::io::Result<()> {
    Ok(())
}
