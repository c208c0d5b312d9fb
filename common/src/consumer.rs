//! Turns the events of one queue into commands for the repository.
//!
//! *Owns*: nothing but its counts; the state is the repository's.
//! *Receives*: [`Consume`], one for each delivery of its queue.
//! *Sends*: the handler's command to the repository.
//! *When it fails*: the delivery in hand is tried again after a delay, by the broker room's rules.
//!
//! The command notes the event in the inbox in the same commit as its effect, and the delivery is acknowledged
//! after that commit. So an event is applied once, however often it is delivered.

use std::{
    fmt::Display,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix::{Actor, Context, Handler, Message, ResponseFuture};
use futures_util::{FutureExt, future::BoxFuture};
use serde::{Serialize, de::DeserializeOwned};

use crate::{
    broker::{Consumer, Delivery, Disposition},
    http::is_no_object,
    ledger::{Ledger, StepKind},
    store::{Command, InboxMetrics, RepositoryError, RepositoryHandle},
    supervision::{AskError, Handle, Life, Observe},
    telemetry::metrics::Counter,
};

/// How long one delivery may take before it is tried again.
const DEADLINE: Duration = Duration::from_secs(30);

/// What a service does with the events of one queue.
pub trait EventHandler: Clone + Send + Sync + Unpin + 'static {
    /// The event's body, as far as this consumer needs it.
    type Event: DeserializeOwned;

    /// What carries it out.
    type Command: Command;

    /// The queue, which also names the consumer.
    const QUEUE: &'static str;

    /// The type of the events; anything else in the queue is unknown.
    const TYPE: &'static str;

    /// What the queue is bound to.
    const ROUTING_KEYS: &'static [&'static str] = &[Self::TYPE];

    /// Turns an event into a command.
    fn command(&self, event: Self::Event, delivery: &Delivery) -> Self::Command;

    /// Decides what becomes of the delivery once the command is committed.
    fn verdict(&self, outcome: <Self::Command as Command>::Outcome) -> Verdict;
}

/// What became of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It was applied.
    Applied,
    /// It had been applied before.
    SeenBefore,
    /// It cannot be applied yet, for this reason.
    NotYet(String),
}

/// The actor; one a queue.
pub struct EventConsumer<H> {
    handler: H,
    repository: RepositoryHandle,
    ledger: Ledger,
    life: Life,
    counts: Arc<Counts>,
}

#[derive(Debug)]
struct Counts {
    applied: Count,
    seen_before: Count,
    not_yet: Count,
    refused: Count,
}

/// Counts in this generation, and in all of the process.
#[derive(Debug)]
struct Count {
    here: AtomicU64,
    total: Counter,
}

/// What the consumer shows of itself.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct EventConsumerState {
    queue: &'static str,
    applied: u64,
    seen_before: u64,
    not_yet: u64,
    refused: u64,
}

impl<H: EventHandler> EventConsumer<H> {
    /// Builds a generation that has counted nothing.
    pub fn new(
        handler: H,
        repository: RepositoryHandle,
        metrics: &InboxMetrics,
        ledger: Ledger,
        life: Life,
    ) -> Self {
        Self { handler, repository, ledger, life, counts: Arc::new(Counts::of(H::QUEUE, metrics)) }
    }
}

impl Counts {
    fn of(queue: &'static str, metrics: &InboxMetrics) -> Self {
        let count = |outcome| Count { here: AtomicU64::new(0), total: metrics.of(queue, outcome) };
        Self {
            applied: count("applied"),
            seen_before: count("seen_before"),
            not_yet: count("not_yet"),
            refused: count("refused"),
        }
    }

    fn count(&self, handled: &Handled) {
        let counter = match handled {
            Handled::Judged(Verdict::Applied) => &self.applied,
            Handled::Judged(Verdict::SeenBefore) => &self.seen_before,
            Handled::Judged(Verdict::NotYet(_)) | Handled::Unavailable(_) => &self.not_yet,
            Handled::Refused(_) => &self.refused,
        };
        counter.here.fetch_add(1, Ordering::Relaxed);
        counter.total.inc();
    }
}

impl<H: EventHandler> Actor for EventConsumer<H> {
    type Context = Context<Self>;
}

/// Applies one delivery; replies with what the broker shall do with it.
pub struct Consume(pub Delivery);

impl Message for Consume {
    type Result = Disposition;
}

enum Handled {
    Judged(Verdict),
    Refused(String),
    Unavailable(RepositoryError),
}

impl Handled {
    /// What the ledger is told. A delivery that is held is asked about once a second, which is no step of its way.
    fn step(&self) -> Option<(StepKind, Option<String>)> {
        match self {
            Self::Judged(Verdict::Applied) => Some((StepKind::Applied, None)),
            Self::Judged(Verdict::SeenBefore) => Some((StepKind::SeenBefore, None)),
            Self::Judged(Verdict::NotYet(reason)) => Some((StepKind::NotYet, Some(reason.clone()))),
            Self::Unavailable(error) if error.is_transient() => None,
            Self::Unavailable(error) => Some((StepKind::NotYet, Some(error.to_string()))),
            Self::Refused(reason) => Some((StepKind::Rejected, Some(reason.clone()))),
        }
    }
}

impl<H: EventHandler> Handler<Consume> for EventConsumer<H> {
    type Result = ResponseFuture<Disposition>;

    fn handle(&mut self, Consume(delivery): Consume, _: &mut Self::Context) -> Self::Result {
        let (handler, repository) = (self.handler.clone(), self.repository.clone());
        let (ledger, generation) = (self.ledger.clone(), self.life.generation());
        let counts = self.counts.clone();
        Box::pin(async move {
            let origin = delivery.origin.clone();
            let handled = origin.scope(handle(handler, repository, &delivery)).await;
            counts.count(&handled);
            if let Some((step, reason)) = handled.step() {
                ledger.handled(&delivery, step, reason, generation);
            }
            match handled {
                Handled::Judged(Verdict::Applied | Verdict::SeenBefore) => Disposition::Done,
                Handled::Judged(Verdict::NotYet(reason)) => Disposition::Retry(reason),
                Handled::Refused(reason) => Disposition::Dead(reason),
                Handled::Unavailable(error) if error.is_transient() => Disposition::Later(error.to_string()),
                Handled::Unavailable(error) => Disposition::Retry(error.to_string()),
            }
        })
    }
}

async fn handle<H: EventHandler>(handler: H, repository: RepositoryHandle, delivery: &Delivery) -> Handled {
    if delivery.event_type != H::TYPE {
        return Handled::Refused(format!("unknown type {:?}", delivery.event_type));
    }
    // serde would take an array as well, its elements for the fields in their order.
    if is_no_object(&delivery.body) {
        return Handled::Refused("wrong shape: not a JSON object".to_owned());
    }
    let event = match serde_json::from_slice(&delivery.body) {
        Ok(event) => event,
        Err(error) => return Handled::Refused(refusal(&error)),
    };
    match repository.write(handler.command(event, delivery)).await {
        Ok(outcome) => Handled::Judged(handler.verdict(outcome)),
        Err(error) => Handled::Unavailable(error),
    }
}

fn refusal(error: &serde_json::Error) -> String {
    let what: &dyn Display = match error.classify() {
        serde_json::error::Category::Data => &"wrong shape",
        _ => &"not JSON",
    };
    format!("{what}: {error}")
}

impl<H: EventHandler> Handler<Observe> for EventConsumer<H> {
    type Result = actix::MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&EventConsumerState {
            queue: H::QUEUE,
            applied: self.counts.applied.here.load(Ordering::Relaxed),
            seen_before: self.counts.seen_before.here.load(Ordering::Relaxed),
            not_yet: self.counts.not_yet.here.load(Ordering::Relaxed),
            refused: self.counts.refused.here.load(Ordering::Relaxed),
        })
    }
}

/// Leads the deliveries of a queue to the living consumer.
pub struct ToActor<H: EventHandler>(pub Handle<EventConsumer<H>>);

impl<H: EventHandler> ToActor<H> {
    /// Wraps the handle for a subscription.
    pub fn shared(handle: Handle<EventConsumer<H>>) -> Arc<dyn Consumer> {
        Arc::new(Self(handle))
    }
}

impl<H: EventHandler> Consumer for ToActor<H> {
    fn consume(&self, delivery: Delivery) -> BoxFuture<'static, Disposition> {
        let handle = self.0.clone();
        async move {
            match handle.ask(Consume(delivery), DEADLINE).await {
                Ok(disposition) => disposition,
                // It may be this very event that ends the actor, so the attempt counts.
                Err(error @ AskError::Died { .. }) => Disposition::Retry(error.to_string()),
                Err(error) => Disposition::Later(error.to_string()),
            }
        }
        .boxed()
    }
}
