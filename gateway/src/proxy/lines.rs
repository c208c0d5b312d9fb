use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    io,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, time::timeout};

use super::wire::Buffer;
use crate::upstream::{Endpoint, EndpointId};

/// How long a connection is kept without a request; the services keep theirs for longer (75 s), so that no
/// request meets one that is just being closed.
const IDLE: Duration = Duration::from_secs(30);

/// How many connections without a request are kept for one endpoint.
const IDLE_MOST: usize = 512;

/// One generation's connections to the services that have no request on them.
#[derive(Debug, Default)]
pub struct Lines {
    idle: RefCell<HashMap<EndpointId, Vec<Resting>>>,
    /// Set once the actor that owns them has ended: nothing is kept any more.
    closed: Cell<bool>,
}

#[derive(Debug)]
struct Resting {
    stream: TcpStream,
    since: Instant,
}

/// A connection to a service with at most one request on it.
#[derive(Debug)]
pub struct Line {
    pub stream: TcpStream,
    pub buffer: Buffer,
    /// Whether it has carried a request before, so that the service may just have closed it.
    pub used: bool,
}

impl Lines {
    /// Takes the connection that was used last, since the service keeps that one for longest.
    pub async fn take(&self, endpoint: &Endpoint) -> Option<Line> {
        loop {
            let resting = self.idle.borrow_mut().get_mut(&endpoint.id())?.pop()?;
            let mut line = Line { stream: resting.stream, buffer: Buffer::default(), used: true };
            if line.is_quiet().await {
                return Some(line);
            }
        }
    }

    /// Opens a new connection.
    ///
    /// # Errors
    /// When that does not come about within `deadline`.
    pub async fn open(&self, endpoint: &Endpoint, deadline: Duration) -> io::Result<Line> {
        let stream = timeout(deadline, TcpStream::connect(endpoint.address()))
            .await
            .map_err(|_| io::Error::new(io::ErrorKind::TimedOut, "no connection in time"))??;
        stream.set_nodelay(true)?;
        Ok(Line { stream, buffer: Buffer::default(), used: false })
    }

    /// Keeps a connection whose answer has come whole, and nothing beyond it.
    pub fn put(&self, endpoint: EndpointId, line: Line, now: Instant) {
        let mut idle = self.idle.borrow_mut();
        let resting = idle.entry(endpoint).or_default();
        if !self.closed.get() && resting.len() < IDLE_MOST {
            resting.push(Resting { stream: line.stream, since: now });
        }
    }

    /// Closes what nobody has used for long, and forgets endpoints without a connection.
    pub fn sweep(&self, now: Instant) {
        self.idle.borrow_mut().retain(|_, resting| {
            resting.retain(|line| now.saturating_duration_since(line.since) < IDLE);
            !resting.is_empty()
        });
    }

    /// Closes all and keeps none any more.
    pub fn close(&self) {
        self.closed.set(true);
        self.idle.borrow_mut().clear();
    }

    /// How many connections are kept.
    pub fn count(&self) -> usize {
        self.idle.borrow().values().map(Vec::len).sum()
    }
}

impl Line {
    /// Whether nothing has come over the connection since its last answer: neither its end, nor bytes that
    /// nobody asked for and that the next request must not take for its answer. Asks the kernel only where
    /// it has something to say.
    async fn is_quiet(&mut self) -> bool {
        poll_fn(|context| {
            let mut byte = [0];
            let mut room = tokio::io::ReadBuf::new(&mut byte);
            let stream = std::pin::Pin::new(&mut self.stream);
            Poll::Ready(tokio::io::AsyncRead::poll_read(stream, context, &mut room).is_pending())
        })
        .await
    }
}
