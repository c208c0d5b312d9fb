use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    future::poll_fn,
    io,
    rc::Rc,
    task::Poll,
    time::{Duration, Instant},
};

use tokio::{net::TcpStream, sync::Notify, task::unconstrained, time::timeout};

use super::wire::Buffer;
use crate::upstream::{Endpoint, EndpointId};

/// How long a connection is kept without a request; the services keep theirs for longer (75 s), so that no
/// request meets one that is just being closed.
const IDLE: Duration = Duration::from_secs(30);

/// How many connections without a request are kept for one endpoint.
const RESTING_MOST: usize = 1024;

/// How many connections to one endpoint are opened at the same time. A thousand requests that come at once would
/// otherwise ask for as many, more than a service lets wait to be accepted; those that wait here are served by whatever
/// is free first.
const OPENING_MOST: usize = 64;

/// One generation's connections to the services that have no request on them.
#[derive(Debug, Default)]
pub struct Lines {
    pools: RefCell<HashMap<EndpointId, Rc<Pool>>>,
    /// Set once the actor that owns them has ended: nothing is kept any more.
    closed: Cell<bool>,
}

/// The connections to one endpoint.
#[derive(Debug, Default)]
struct Pool {
    resting: RefCell<Vec<Resting>>,
    opening: Cell<usize>,
    /// Requests that wait for a connection.
    waiting: Cell<usize>,
    /// Told when one of them may look again.
    freed: Notify,
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

/// Why there is no connection.
#[derive(Debug)]
pub enum NoLine {
    /// The endpoint cannot be connected to.
    Failed(io::Error),
    /// All connections are in use, and as many are being opened as may be.
    Busy,
}

impl Lines {
    /// Takes the connection that was used last, since the service keeps that one for longest, or opens a new one.
    /// With `fresh` it takes none that was used before.
    ///
    /// # Errors
    /// When a new one does not come about within `deadline`, or none is free within `patience`.
    pub async fn take(
        &self,
        endpoint: &Endpoint,
        fresh: bool,
        deadline: Duration,
        patience: Duration,
    ) -> Result<Line, NoLine> {
        let pool = self.pool(endpoint.id());
        if !fresh && let Some(line) = pool.take().await {
            return Ok(line);
        }
        if pool.opening.get() < OPENING_MOST {
            return pool.open(endpoint, deadline).await;
        }
        timeout(patience, pool.wait(endpoint, fresh, deadline)).await.unwrap_or(Err(NoLine::Busy))
    }

    /// Keeps a connection whose answer has come whole, and nothing beyond it.
    pub fn put(&self, endpoint: EndpointId, line: Line, now: Instant) {
        if self.closed.get() {
            return;
        }
        let pool = self.pool(endpoint);
        let mut resting = pool.resting.borrow_mut();
        if resting.len() < RESTING_MOST {
            resting.push(Resting { stream: line.stream, since: now });
        }
        drop(resting);
        pool.tell();
    }

    /// Closes what nobody has used for long, and forgets endpoints without a connection.
    pub fn sweep(&self, now: Instant) {
        self.pools.borrow_mut().retain(|_, pool| {
            let mut resting = pool.resting.borrow_mut();
            resting.retain(|line| now.saturating_duration_since(line.since) < IDLE);
            // Whoever opens a connection or waits for one holds the pool, too.
            !resting.is_empty() || Rc::strong_count(pool) > 1
        });
    }

    /// Closes all and keeps none any more.
    pub fn close(&self) {
        self.closed.set(true);
        for pool in self.pools.borrow().values() {
            pool.resting.borrow_mut().clear();
        }
    }

    /// How many connections are kept.
    pub fn count(&self) -> usize {
        self.pools.borrow().values().map(|pool| pool.resting.borrow().len()).sum()
    }

    fn pool(&self, endpoint: EndpointId) -> Rc<Pool> {
        self.pools.borrow_mut().entry(endpoint).or_default().clone()
    }
}

impl Pool {
    async fn take(&self) -> Option<Line> {
        loop {
            let resting = self.resting.borrow_mut().pop()?;
            let mut line = Line { stream: resting.stream, buffer: Buffer::default(), used: true };
            if line.is_quiet().await {
                return Some(line);
            }
        }
    }

    async fn open(&self, endpoint: &Endpoint, deadline: Duration) -> Result<Line, NoLine> {
        let _opening = Opening::begin(self);
        let connect = async {
            let stream = TcpStream::connect(endpoint.address()).await?;
            stream.set_nodelay(true)?;
            Ok(Line { stream, buffer: Buffer::default(), used: false })
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no connection in time");
        timeout(deadline, connect).await.unwrap_or_else(|_| Err(late())).map_err(NoLine::Failed)
    }

    /// Waits until a connection is free or one may be opened.
    async fn wait(&self, endpoint: &Endpoint, fresh: bool, deadline: Duration) -> Result<Line, NoLine> {
        let _waiting = Waiting::begin(self);
        loop {
            self.freed.notified().await;
            if !fresh && let Some(line) = self.take().await {
                return Ok(line);
            }
            if self.opening.get() < OPENING_MOST {
                return self.open(endpoint, deadline).await;
            }
        }
    }

    /// Lets one of those who wait look again.
    fn tell(&self) {
        if self.waiting.get() > 0 {
            self.freed.notify_one();
        }
    }
}

/// A connection that is being opened.
struct Opening<'a>(&'a Pool);

impl<'a> Opening<'a> {
    fn begin(pool: &'a Pool) -> Self {
        pool.opening.set(pool.opening.get() + 1);
        Self(pool)
    }
}

impl Drop for Opening<'_> {
    fn drop(&mut self) {
        self.0.opening.set(self.0.opening.get() - 1);
        self.0.tell();
    }
}

/// A request that waits for a connection.
struct Waiting<'a>(&'a Pool);

impl<'a> Waiting<'a> {
    fn begin(pool: &'a Pool) -> Self {
        pool.waiting.set(pool.waiting.get() + 1);
        Self(pool)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.set(self.0.waiting.get() - 1);
        // It may have been told and not have looked, because its time was over: then another one may.
        self.0.tell();
    }
}

impl Line {
    /// Whether nothing has come over the connection since its last answer: neither its end, nor bytes that
    /// nobody asked for and that the next request must not take for its answer. Asks the kernel only where
    /// it has something to say.
    async fn is_quiet(&mut self) -> bool {
        // Without budget it would look quiet whatever has come.
        unconstrained(poll_fn(|context| {
            let mut byte = [0];
            let mut room = tokio::io::ReadBuf::new(&mut byte);
            let stream = std::pin::Pin::new(&mut self.stream);
            Poll::Ready(tokio::io::AsyncRead::poll_read(stream, context, &mut room).is_pending())
        }))
        .await
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, sync::Arc};

    use common::{telemetry::metrics::Registry, timeline::Timeline};
    use futures_util::future::join_all;

    use super::*;
    use crate::{settings::UpstreamSettings, upstream::Upstreams};

    /// A place that accepts connections into its backlog and says nothing.
    fn endpoint() -> (TcpListener, Arc<Endpoint>) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let url = format!("http://{}", listener.local_addr().expect("it is bound"));
        let upstreams = Upstreams::new(&mut Registry::default(), Timeline::open("gateway", None));
        let settings = UpstreamSettings {
            urls: vec![url.parse().expect("a sound URL")],
            ..UpstreamSettings::new("test")
        };
        upstreams.apply(&[settings]);
        let upstream = upstreams.get("test").expect("it was just added");
        (listener, upstream.endpoints()[0].clone())
    }

    const LONG: Duration = Duration::from_secs(10);

    #[actix::test]
    async fn of_many_that_come_at_once_some_wait_and_all_are_served() {
        let (listener, endpoint) = endpoint();
        let lines = Lines::default();
        std::thread::spawn(move || listener.incoming().map_while(Result::ok).collect::<Vec<_>>());
        let most = Cell::new(0);
        let one = async || {
            let line = lines.take(&endpoint, false, LONG, LONG).await.expect("there is one");
            most.set(most.get().max(lines.pool(endpoint.id()).opening.get()));
            tokio::task::yield_now().await;
            lines.put(endpoint.id(), line, Instant::now());
        };

        join_all((0..1000).map(|_| one())).await;

        assert!((1..=OPENING_MOST).contains(&most.get()), "{}", most.get());
        let pool = lines.pool(endpoint.id());
        assert_eq!((pool.opening.get(), pool.waiting.get()), (0, 0));
        assert!((1..=1000).contains(&lines.count()));
    }

    #[actix::test]
    async fn who_waits_in_vain_is_told_that_all_are_busy() {
        let (_listener, endpoint) = endpoint();
        let lines = Lines::default();
        lines.pool(endpoint.id()).opening.set(OPENING_MOST);

        let waited = lines.take(&endpoint, false, LONG, Duration::from_millis(20)).await;

        assert!(matches!(waited, Err(NoLine::Busy)), "{waited:?}");
    }

    #[actix::test]
    async fn a_connection_that_was_closed_at_rest_or_said_something_unasked_is_not_used_again() {
        use std::io::Write;
        let (listener, endpoint) = endpoint();
        let lines = Lines::default();
        for speaks in [true, false] {
            let line = lines.take(&endpoint, true, LONG, LONG).await.expect("it opens");
            let (mut other, _) = listener.accept().expect("it was opened");
            let own = line.stream.local_addr().expect("it is open");
            if speaks {
                other.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("it is open");
            } else {
                drop(other);
            }
            line.stream.readable().await.expect("something has come");
            lines.put(endpoint.id(), line, Instant::now());

            let next = lines.take(&endpoint, false, LONG, LONG).await.expect("another one opens");
            listener.accept().expect("it was opened");
            assert_ne!(next.stream.local_addr().expect("it is open"), own);
        }
    }
}
