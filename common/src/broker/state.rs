use std::sync::atomic::{AtomicU64, Ordering};

use actix::{Handler, MessageResult};
use jiff::Timestamp;
use serde::Serialize;

use super::BrokerActor;
use crate::supervision::Observe;

/// What a [`BrokerActor`] answers to [`Observe`].
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BrokerState {
    /// What the link does.
    pub link: LinkStatus,
    /// Which broker: `host:port/vhost`, and product and version once it has told them.
    pub broker: String,
    /// Since when the link works.
    pub connected_since: Option<Timestamp>,
    /// Since when the broker takes no messages.
    pub blocked_since: Option<Timestamp>,
    /// Messages handed over whose fate is not known yet.
    pub unconfirmed: usize,
    /// One for each subscription, once the link works.
    pub consumers: Vec<ConsumerState>,
    /// Which generation of the actor answers.
    pub generation: u64,
}

/// What a link does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkStatus {
    /// It is being made.
    Connecting,
    /// It works.
    Connected,
    /// It works, but the broker takes no messages: it is short of memory or disk.
    Blocked,
}

/// What became of the deliveries from one queue, since the link was made.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerState {
    /// The queue.
    pub queue: &'static str,
    /// Deliveries not answered yet.
    pub in_progress: u64,
    /// Deliveries whose effect is safe.
    pub acked: u64,
    /// Deliveries that went to a retry queue.
    pub retried: u64,
    /// Deliveries that went to the dead letters.
    pub dead: u64,
}

impl Handler<Observe> for BrokerActor {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&self.state())
    }
}

/// Counts the deliveries of one queue on one link.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) in_progress: AtomicU64,
    pub(super) acked: AtomicU64,
    pub(super) retried: AtomicU64,
    pub(super) dead: AtomicU64,
}

impl Tally {
    pub(super) fn state(&self, queue: &'static str) -> ConsumerState {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        ConsumerState {
            queue,
            in_progress: read(&self.in_progress),
            acked: read(&self.acked),
            retried: read(&self.retried),
            dead: read(&self.dead),
        }
    }
}
