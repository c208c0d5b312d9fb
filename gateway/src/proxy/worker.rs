use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::Waker,
    time::{Duration, Instant},
};

use arc_swap::ArcSwap;
use common::{
    auth::Issuer,
    http::{Drain, Probes},
};

use tokio::task::yield_now;

use super::{
    date::Clock,
    decide::Asked,
    lines::Lines,
    metrics::{ProxyMetrics, Series},
    uploads::Uploads,
    wire::Spares,
};
use crate::{
    api::ApiDescription,
    guard::{Guard, Keys},
    policy::Limiter,
    routing::Table,
    settings::Settings,
};

/// What all workers share.
pub struct Shared {
    /// The settings that hold now, and the table made of them.
    pub front: ArcSwap<Front>,
    /// How much each client has asked for.
    pub limiter: Limiter,
    /// Requests on their way.
    pub in_flight: AtomicUsize,
    /// Requests whose body is still awaited.
    pub uploads: Uploads,
    /// Connections of clients.
    pub connections: AtomicUsize,
    /// What the gateway says about itself.
    pub probes: Probes,
    /// What it says about the services.
    pub api: ApiDescription,
    /// What tokens are verified by.
    pub keys: Keys,
    /// What is counted.
    pub metrics: ProxyMetrics,
    /// How it stops.
    pub drain: Drain,
}

/// The settings that hold at one time. A request keeps those with which it began.
pub struct Front {
    /// What was read.
    pub settings: Arc<Settings>,
    /// The routes, each beside its upstream.
    pub table: Table,
}

/// The settings that one worker goes by, and who says for it who asks.
pub struct Held {
    pub(super) front: Arc<Front>,
    pub(super) guard: Rc<Guard>,
}

/// What the connections of one worker share.
pub struct Worker {
    pub(super) shared: Arc<Shared>,
    /// The connections to the services, as long as the actor that owns them lives.
    lines: RefCell<Option<Rc<Lines>>>,
    held: RefCell<Rc<Held>>,
    pub(super) series: Series,
    pub(super) spares: Spares,
    pub(super) clock: Clock,
    pub(super) counts: Counts,
    /// Set when connections without a request are to be closed.
    closing: Cell<bool>,
    sleepers: RefCell<HashMap<u64, Waker>>,
    next_sleeper: Cell<u64>,
}

/// What has become of the requests of one worker.
#[derive(Debug, Default)]
pub struct Counts {
    pub connections: Cell<u64>,
    pub in_progress: Cell<u64>,
    pub answered: Cell<u64>,
    pub refused: Cell<u64>,
    pub failed: Cell<u64>,
    pub abandoned: Cell<u64>,
}

impl Worker {
    /// A worker with nothing to do yet.
    pub fn new(shared: Arc<Shared>) -> Self {
        let front = shared.front.load_full();
        let held = Rc::new(Held { guard: Rc::new(guard(&shared, &front)), front });
        let series = Series::new(&shared.metrics);
        Self {
            shared,
            lines: RefCell::default(),
            held: RefCell::new(held),
            series,
            spares: Spares::default(),
            clock: Clock::default(),
            counts: Counts::default(),
            closing: Cell::default(),
            sleepers: RefCell::default(),
            next_sleeper: Cell::default(),
        }
    }

    /// The settings that hold now, with a guard of theirs. A worker shares them with itself alone, so that no count of
    /// references goes from core to core with every request.
    pub fn held(&self) -> Rc<Held> {
        let current = self.shared.front.load();
        let mut held = self.held.borrow_mut();
        if !Arc::ptr_eq(&current, &held.front) {
            // Tokens that were verified by other settings must show themselves again.
            let same = current.settings.auth == held.front.settings.auth;
            let guard = if same { held.guard.clone() } else { Rc::new(guard(&self.shared, &current)) };
            self.series.forget();
            *held = Rc::new(Held { front: current.clone(), guard });
        }
        held.clone()
    }

    /// The connections to the services; `None` while their actor restarts.
    pub fn lines(&self) -> Option<Rc<Lines>> {
        self.lines.borrow().clone()
    }

    /// Lends out `lines`, or nothing any more.
    pub fn lend(&self, lines: Option<Rc<Lines>>) {
        *self.lines.borrow_mut() = lines;
    }

    /// Ends every connection without a request, now and from now on.
    pub fn close_idle(&self) {
        self.closing.set(true);
        for (_, waker) in self.sleepers.borrow_mut().drain() {
            waker.wake();
        }
    }

    /// Whether connections without a request are to end.
    pub fn is_closing(&self) -> bool {
        self.closing.get()
    }

    /// Lets the other requests in progress read what has come before this one writes, so that the writes of many come
    /// one after the other. The first of them wakes whoever reads on the other side, and the rest find it awake: with
    /// 64 connections that took a tenth of all processor time off.
    pub async fn let_others_read(&self) {
        if self.counts.in_progress.get() > 1 {
            yield_now().await;
        }
    }

    /// Counts an answer whose head is about to be written, and writes the access line.
    pub fn note(&self, asked: &Asked, status: u16, now: Instant) {
        let took = now.saturating_duration_since(asked.started);
        // The number of a route means something only in its own table.
        let current = Rc::ptr_eq(&asked.held, &self.held.borrow());
        self.series.observe(asked.place, asked.method, status, took, current, || asked.label());
        // A 503 is a refusal that was decided on, by the thousand while something is away; that is counted, and
        // whoever decided has said why, once.
        let failed = status >= 500;
        self.counts.failed.set(self.counts.failed.get() + u64::from(failed));
        let odd = failed && status != 503;
        let level = if odd { log::Level::Warn } else { log::Level::Debug };
        if log::log_enabled!(level) {
            log::log!(
                level,
                "event=request method={} route={} status={status} ms={:.1} request_id={} trace_id={}",
                asked.method.as_str(),
                asked.label(),
                took.as_secs_f64() * 1000.0,
                asked.origin.id(),
                asked.origin.trace.trace_id(),
            );
        }
    }

    /// Registers the task of a connection, to be woken when it is to close.
    pub fn register(self: &Rc<Self>, waker: Waker) -> Registered {
        let number = self.next_sleeper.replace(self.next_sleeper.get() + 1);
        self.sleepers.borrow_mut().insert(number, waker);
        Registered { worker: self.clone(), number }
    }
}

fn guard(shared: &Shared, front: &Front) -> Guard {
    let auth = &front.settings.auth;
    let (name, audience) = (auth.issuer.clone(), auth.audience.clone());
    // How long a token is good, it says itself.
    let issuer = Issuer { name, audience, lifetime: Duration::ZERO };
    Guard::new(shared.keys.clone(), issuer, auth.leeway, auth.cached_tokens)
}

/// A connection that is registered as long as this lives.
pub struct Registered {
    worker: Rc<Worker>,
    number: u64,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.worker.sleepers.borrow_mut().remove(&self.number);
    }
}

/// One more of something of which there is a limited number.
pub struct Slot<'a>(&'a AtomicUsize);

impl<'a> Slot<'a> {
    /// Takes one, unless there are `most` already.
    pub fn take(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let slot = Self(count);
        // Counted before it is compared, so that two who come at once do not both take the last one.
        if count.fetch_add(1, Ordering::Relaxed) < most { Some(slot) } else { None }
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
