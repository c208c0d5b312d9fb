//! Takes committed events from the outbox to the broker, and never gives up.
//!
//! *Owns*: the window of rows in hand.
//! *Receives*: [`Wake`] after a commit; it also looks by itself, so a lost `Wake` costs a moment, not an event.
//! *Sends*: [`PendingEvents`] and [`MarkSent`] to the repository, [`Publish`] to the broker actor.
//! *When it fails*: the next generation reads the outbox again. A row that was confirmed but not yet removed
//! is published twice, and its consumers know it by its id.
//!
//! A row leaves the outbox only once the broker has confirmed *and* routed it. Events of one aggregate are
//! published in their order.
//!
//! A row that cannot be read stays where it is, for a version that can read it or for somebody to look at, and those behind
//! it leave: nobody can say of which aggregate it is, and nothing would leave any more if all waited for it. The log
//! names it, once; metrics, `/actors` and readiness say how many there are.

mod drain;
mod unreadable;
mod window;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, fut::wrap_future,
};
use serde::Serialize;

use crate::{
    backoff::Backoff,
    broker::{BrokerActor, Publish, PublishOutcome},
    store::{
        MarkSent, OutboxDepth, OutboxPage, PendingEvents, RepositoryError, RepositoryHandle, StoreError,
    },
    supervision::{AskError, Handle, Observe},
    telemetry::metrics::{AtScrape, Counter, Family, Registry},
    timeline::Timeline,
};
use drain::Drain;
use unreadable::Unreadable;
use window::Window;

/// Most rows in hand: twice what the broker is given unconfirmed, so that it never waits for the store.
const WINDOW: usize = 2048;

/// Most rows in one message to the broker.
const BATCH: usize = 256;

/// Most messages on their way to the broker.
const BATCHES: usize = 4;

/// How often the relay looks by itself.
const TICK: Duration = Duration::from_millis(100);

/// After how many ticks with empty hands it reads the outbox from its beginning.
const SWEEP_TICKS: u32 = 10;

/// While the link is there and takes nothing, because the broker blocks whoever publishes, one row asks at most this often
/// whether it does again.
const PROBE_EVERY: Duration = Duration::from_millis(50);

/// How long a batch may be with the broker actor, which has deadlines of its own, before it is tried again.
const PUBLISH_DEADLINE: Duration = Duration::from_secs(60);

/// The actor; one a service.
pub struct OutboxRelay {
    repository: RepositoryHandle,
    broker: Handle<BrokerActor>,
    metrics: RelayMetrics,
    window: Window,
    /// Rows up to this number have been read.
    read_up_to: u64,
    /// Something was committed since the last read began.
    more: bool,
    reading: bool,
    marking: bool,
    batches: usize,
    broker_was_there: bool,
    /// When the broker actor last said that it sends nothing; `None` where that is not known of it.
    held_at: Option<Instant>,
    idle_ticks: u32,
    sent: u64,
    timeline: Timeline,
    /// Since an outage is over, until what waited then is with the broker.
    drain: Option<Drain>,
}

/// Says that a commit left events in the outbox.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "()")]
pub struct Wake;

/// What the relay counts; registered once a process.
#[derive(Clone)]
pub struct RelayMetrics {
    outcomes: Family<[(&'static str, &'static str); 1], Counter>,
    unreadable: Unreadable,
}

impl RelayMetrics {
    /// Registers `<service>_relay_events_total` by outcome, and `<service>_outbox_unreadable`.
    pub fn register(service: &str, registry: &mut Registry) -> Self {
        let outcomes: Family<[(&str, &str); 1], Counter> = Family::default();
        for outcome in PublishOutcome::LABELS {
            drop(outcomes.get_or_create(&[("outcome", outcome)]));
        }
        let name = format!("{service}_relay_events");
        registry.register(name, "Events handed to the broker, by outcome", outcomes.clone());
        let unreadable = Unreadable::default();
        let counted = unreadable.clone();
        registry.register(
            format!("{service}_outbox_unreadable"),
            "Rows of the outbox that cannot be read and stay in it",
            AtScrape::gauge(move || counted.count() as f64),
        );
        Self { outcomes, unreadable }
    }

    /// How many rows of the outbox cannot be read, as far as the relay has met them.
    pub fn unreadable(&self) -> usize {
        self.unreadable.count()
    }
}

impl OutboxRelay {
    /// Builds a generation with empty hands.
    pub fn new(
        repository: RepositoryHandle,
        broker: Handle<BrokerActor>,
        metrics: RelayMetrics,
        timeline: Timeline,
    ) -> Self {
        let backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        Self {
            repository,
            broker,
            metrics,
            window: Window::new(WINDOW, backoff),
            read_up_to: 0,
            more: true,
            reading: false,
            marking: false,
            batches: 0,
            broker_was_there: false,
            held_at: None,
            idle_ticks: 0,
            sent: 0,
            timeline,
            drain: None,
        }
    }

    fn tick(&mut self, context: &mut Context<Self>) {
        if self.window.len() == 0 {
            self.idle_ticks += 1;
        } else {
            self.idle_ticks = 0;
        }
        if self.idle_ticks >= SWEEP_TICKS {
            // Nothing is known to wait: look whether that is so.
            self.idle_ticks = 0;
            self.read_up_to = 0;
            self.more = true;
        }
        self.work(context);
    }

    /// Moves everything that can move now.
    fn work(&mut self, context: &mut Context<Self>) {
        self.mark(context);
        self.watch_drain(context);
        let there = self.broker.is_healthy();
        if there && !self.broker_was_there {
            self.window.retry_all(Instant::now());
            self.held_at = None;
        }
        self.broker_was_there = there;
        if there {
            self.read(context);
            self.publish(context);
        }
    }

    /// Times how long what waited for the end of an outage takes to leave.
    fn watch_drain(&mut self, context: &mut Context<Self>) {
        if let Some(incident) = self.timeline.take_undrained() {
            let (repository, since) = (self.repository.clone(), Instant::now());
            let asking = wrap_future::<_, Self>(async move { repository.read(OutboxDepth).await });
            context.spawn(asking.map(move |depth, relay, _| {
                // Without an answer it stays unknown.
                let Ok(mut depth) = depth else { return relay.drain = None };
                depth.waiting = depth.waiting.saturating_sub(relay.metrics.unreadable() as u64);
                relay.drain = Some(Drain::begin(incident, since, depth));
            }));
        }
        // What is just being read is neither in hand nor sent.
        let unread = (self.more || self.reading).then_some(self.read_up_to + 1);
        let drain = self.drain.as_ref();
        if let Some((incident, waited, took)) =
            drain.and_then(|drain| drain.is_over(self.window.first(), unread, Instant::now()))
        {
            self.timeline.drained(incident, waited, took);
            self.drain = None;
        }
    }

    fn read(&mut self, context: &mut Context<Self>) {
        // Half a window at a time, so that a backlog is not read row by row.
        if self.reading || !self.more || self.window.room() < WINDOW / 2 {
            return;
        }
        self.reading = true;
        self.more = false;
        let query = PendingEvents { after: self.read_up_to, limit: WINDOW / 2 };
        let repository = self.repository.clone();
        let reading = wrap_future::<_, Self>(async move { repository.read(query).await });
        context.spawn(reading.map(|page, relay, context| {
            relay.reading = false;
            match page {
                Ok(page) => relay.admit(page, context),
                // The tick tries again.
                Err(error) => {
                    relay.more = true;
                    debug_unless_restarting("cannot_read_outbox", &error);
                }
            }
        }));
    }

    fn admit(&mut self, page: OutboxPage, context: &mut Context<Self>) {
        if page.len() == WINDOW / 2 {
            self.more = true;
        }
        self.metrics.unreadable.note(&page.unreadable);
        if let Some(last) = page.last() {
            self.read_up_to = last;
            self.window.admit(page.rows, Instant::now());
            self.work(context);
        } else if self.more {
            self.read(context);
        }
    }

    fn publish(&mut self, context: &mut Context<Self>) {
        let (batches, batch) = match self.held_at {
            Some(at) if at.elapsed() < PROBE_EVERY => return,
            Some(_) => (1, 1),
            None => (BATCHES, BATCH),
        };
        while self.batches < batches {
            let rows = self.window.take_due(Instant::now(), batch);
            if rows.is_empty() {
                return;
            }
            self.batches += 1;
            let numbers: Vec<u64> = rows.iter().map(|row| row.number).collect();
            let envelopes = rows.into_iter().map(|row| row.envelope).collect();
            let broker = self.broker.clone();
            let publishing = async move { broker.ask(Publish(envelopes), PUBLISH_DEADLINE).await };
            context.spawn(wrap_future::<_, Self>(publishing).map(move |outcomes, relay, context| {
                relay.batches -= 1;
                relay.settle(&numbers, outcomes);
                relay.work(context);
            }));
        }
    }

    fn settle(&mut self, numbers: &[u64], outcomes: Result<Vec<PublishOutcome>, AskError>) {
        let now = Instant::now();
        let outcomes = outcomes.unwrap_or_else(|error| {
            log::debug!("event=batch_unanswered error={:?}", error.to_string());
            Vec::new()
        });
        let mut outcomes = outcomes.into_iter();
        for &number in numbers {
            let outcome = outcomes.next();
            let name = outcome.as_ref().map_or("unknown", PublishOutcome::label);
            self.metrics.outcomes.get_or_create(&[("outcome", name)]).inc();
            if !matches!(outcome, Some(PublishOutcome::NotSent(_))) {
                self.held_at = None;
            }
            match outcome {
                Some(PublishOutcome::Confirmed) => {
                    self.sent += 1;
                    self.window.confirmed(number, now);
                }
                // No fault of the row's: it leaves as soon as anything does.
                Some(PublishOutcome::NotSent(_)) => {
                    self.held_at = Some(now);
                    self.window.held(number, now);
                }
                Some(_) | None => self.window.failed(number, now, fastrand::f64()),
            }
        }
    }

    fn mark(&mut self, context: &mut Context<Self>) {
        if self.marking {
            return;
        }
        let numbers: Arc<[u64]> = self.window.take_confirmed().into();
        if numbers.is_empty() {
            return;
        }
        self.marking = true;
        let (repository, marked) = (self.repository.clone(), numbers.to_vec());
        let marking = async move { repository.write(MarkSent { numbers: marked }).await };
        context.spawn(wrap_future::<_, Self>(marking).map(move |outcome, relay, context| {
            relay.marking = false;
            match outcome {
                Ok(()) => {
                    relay.window.removed(&numbers);
                    relay.work(context);
                }
                // The tick tries again; marking twice is harmless.
                Err(error) => {
                    relay.window.keep_confirmed(numbers.to_vec());
                    debug_unless_restarting("cannot_mark_sent", &error);
                }
            }
        }));
    }
}

impl Actor for OutboxRelay {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        context.run_interval(TICK, Self::tick);
        self.work(context);
    }
}

impl Handler<Wake> for OutboxRelay {
    type Result = ();

    fn handle(&mut self, _: Wake, context: &mut Self::Context) {
        self.more = true;
        self.work(context);
    }
}

/// What the relay shows of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct OutboxRelayState {
    in_hand: usize,
    in_flight: usize,
    sent: u64,
    /// Rows that cannot be read; the log has their numbers.
    unreadable: usize,
    broker_is_there: bool,
}

impl Handler<Observe> for OutboxRelay {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&OutboxRelayState {
            in_hand: self.window.len(),
            in_flight: self.window.in_flight(),
            sent: self.sent,
            unreadable: self.metrics.unreadable(),
            broker_is_there: self.broker_was_there,
        })
    }
}

/// The guardian logs a restart; what waits for it needs no line of its own at a level that wakes someone.
fn debug_unless_restarting(event: &str, error: &RepositoryError) {
    match error {
        RepositoryError::Ask(AskError::Restarting { .. }) => log::debug!("event={event} error=restarting"),
        RepositoryError::Store(StoreError::DiskFull) => log::debug!("event={event} error=disk_full"),
        error => log::warn!("event={event} error={:?}", error.to_string()),
    }
}
