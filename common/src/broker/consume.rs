use std::{fmt, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::Timestamp;

use crate::{event::EventId, telemetry::trace::Origin};

/// A queue of this service and who handles what arrives in it.
#[derive(Clone)]
pub struct Subscription {
    /// The queue's name: `users.order-created`.
    pub queue: &'static str,
    /// The event types that are routed to it.
    pub routing_keys: &'static [&'static str],
    /// Who handles them.
    pub consumer: Arc<dyn Consumer>,
}

impl fmt::Debug for Subscription {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscription")
            .field("queue", &self.queue)
            .field("routing_keys", &self.routing_keys)
            .finish_non_exhaustive()
    }
}

/// Handles the deliveries of one queue.
///
/// Called for many deliveries at the same time, as many as `BROKER_PREFETCH` allows, and in no particular
/// order. A delivery may come more than once; its id tells. A panic counts as [`Disposition::Retry`].
pub trait Consumer: Send + Sync {
    /// Handles one delivery; its effect is safe before the answer is [`Disposition::Done`].
    fn consume(&self, delivery: Delivery) -> BoxFuture<'static, Disposition>;
}

/// An event as it arrived.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// The publisher's id, or one derived from type and body where it gave none.
    pub id: EventId,
    /// The AMQP `type`, or the routing key where the publisher gave none.
    pub event_type: String,
    /// The service that published it.
    pub source: Option<String>,
    /// The request that caused it, or a fresh one where the publisher named none.
    pub origin: Origin,
    /// When it happened.
    pub time: Option<Timestamp>,
    /// What it says: the resource's JSON, not parsed yet.
    pub body: Bytes,
    /// Counts the attempts at it, from 1.
    pub attempt: u32,
    /// Whether the broker has delivered it before, perhaps without success.
    pub redelivered: bool,
    /// The queue that it came from.
    pub queue: &'static str,
}

/// What becomes of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Its effect is safe.
    Done,
    /// It failed for this reason and may succeed later: it comes again after a delay, and after the last one
    /// goes to the dead letters.
    Retry(String),
    /// It can never succeed, for this reason: it goes to the dead letters.
    Dead(String),
    /// Nothing is wrong with it, but who handles it is away, for this reason: it is held and tried again, for
    /// as long as it takes, and this counts as no attempt.
    Later(String),
}

impl Disposition {
    /// What [`Disposition::label`] may say, and `held`, which a delivery is before it is later.
    pub(super) const LABELS: [&str; 5] = ["done", "retry", "dead", "later", "held"];

    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Retry(_) => "retry",
            Self::Dead(_) => "dead",
            Self::Later(_) => "later",
        }
    }
}
