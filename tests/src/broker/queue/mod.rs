//! Queues: messages that wait, and consumers that wait for them.
//!
//! A queue is plain data. It hands out what is next and says who is next; the broker brings both together, because only
//! the broker knows connections and the store.

mod backlog;
pub use backlog::{Backlog, Content, Entry, Returns, Size};

use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use super::arguments::{Overflow, QueueKind, QueueOptions};
use super::connection::ConnectionId;
use super::store::{Position, QueueId};

/// A consumer, as its queue knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscriber {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its channel there.
    pub channel: u16,
    /// Its name on the channel.
    pub tag: Rc<str>,
}

/// One queue.
#[derive(Debug)]
pub struct Queue {
    /// Its number in the store, never used again.
    pub id: QueueId,
    /// Its virtual host.
    pub vhost: Rc<str>,
    /// Its name there.
    pub name: Rc<str>,
    /// As it was declared.
    pub options: QueueOptions,
    /// The connection that it belongs to, where it is exclusive.
    pub owner: Option<ConnectionId>,
    /// Its messages.
    pub backlog: Backlog,
    /// Who consumes from it, the next one first.
    pub subscribers: VecDeque<Subscriber>,
    /// The one who wants to be the only one.
    pub exclusive_subscriber: Option<Subscriber>,
    /// Whether it ever had a consumer: only then does `auto_delete` mean anything.
    pub had_subscriber: bool,
    /// When somebody last declared it, got from it or consumed.
    pub used_at: Instant,
    /// The highest position that was ever delivered.
    pub delivered_up_to: Position,
    /// What nobody takes of the dead letters that must not be lost, with the reason of each death.
    pub stranded: Vec<(Entry, super::death::Reason)>,
    /// When these are offered again.
    pub offer_again_at: Option<Instant>,
    /// So many messages shall be there before the next delivery, which then begins at the last of them: a tester's wish,
    /// in force until the time is over.
    pub shuffle: Option<(usize, Instant)>,
    /// How many of them are still to be delivered: they have met their rule.
    pub shuffled: usize,
}

impl Queue {
    /// A queue without messages.
    pub fn new(id: QueueId, vhost: Rc<str>, name: Rc<str>, options: QueueOptions) -> Self {
        let returns = match options.kind {
            QueueKind::Classic => Returns::ToTheirPlace,
            QueueKind::Quorum => Returns::InTheirOrder,
        };
        Self {
            id,
            vhost,
            name,
            options,
            owner: None,
            backlog: Backlog::new(returns, 1),
            subscribers: VecDeque::new(),
            exclusive_subscriber: None,
            had_subscriber: false,
            used_at: Instant::now(),
            delivered_up_to: 0,
            stranded: Vec::new(),
            offer_again_at: None,
            shuffle: None,
            shuffled: 0,
        }
    }

    /// Whether it is a quorum queue.
    pub fn is_quorum(&self) -> bool {
        self.options.kind == QueueKind::Quorum
    }

    /// Whether it is there again after a restart.
    pub fn is_durable(&self) -> bool {
        self.options.durable && !self.options.exclusive
    }

    /// Whether a message of this kind is kept on disk here.
    pub fn stores(&self, is_persistent: bool) -> bool {
        self.is_durable() && (is_persistent || self.is_quorum())
    }

    /// When a message that comes now has waited too long.
    pub fn expiry(&self, expiration: Option<Duration>, now_ms: u64) -> Option<u64> {
        let shorter = match (self.options.message_ttl, expiration) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        }?;
        Some(now_ms.saturating_add(u64::try_from(shorter.as_millis()).unwrap_or(u64::MAX)))
    }

    /// Whether one more message with a body of this size is refused instead of pushing an older one out.
    pub fn refuses(&self, size: u32) -> bool {
        self.options.overflow != Overflow::DropHead && self.exceeds(1, u64::from(size))
    }

    /// Whether it holds more than it may.
    pub fn is_over_its_limit(&self) -> bool {
        self.options.overflow == Overflow::DropHead && self.exceeds(0, 0)
    }

    fn exceeds(&self, messages: u64, bytes: u64) -> bool {
        let over = |limit: Option<u64>, count: u64| limit.is_some_and(|limit| count > limit);
        over(self.options.max_length, self.backlog.len() as u64 + messages)
            || over(self.options.max_length_bytes, self.backlog.body_bytes() + bytes)
    }

    /// Whether deliveries wait until there are enough to change their order, or until it takes too long.
    pub fn is_collecting(&self) -> bool {
        self.shuffle.is_some_and(|(count, until)| self.backlog.len() < count && Instant::now() < until)
    }

    /// How many bytes it keeps: of what waits, of what is not acknowledged, and of dead letters that nobody takes.
    pub fn bytes(&self) -> u64 {
        let stranded = self.stranded.iter().map(|(entry, _)| u64::from(entry.size.record));
        self.backlog.bytes() + stranded.sum::<u64>()
    }

    /// When its head has waited too long, in milliseconds since 1970.
    pub fn next_expiry(&self) -> Option<u64> {
        self.backlog.head()?.expires_at_ms
    }

    /// Whether nobody has used it for longer than it was to live unused.
    pub fn is_unused(&self, now: Instant) -> bool {
        self.unused_at().is_some_and(|at| at <= now)
    }

    /// When it will have been unused for too long.
    pub fn unused_at(&self) -> Option<Instant> {
        let expires = self.options.expires.filter(|_| self.subscribers.is_empty())?;
        Some(self.used_at + expires)
    }

    /// Takes a consumer away; whether there was one.
    pub fn unsubscribe(&mut self, subscriber: &Subscriber) -> bool {
        let before = self.subscribers.len();
        self.subscribers.retain(|other| other != subscriber);
        if self.exclusive_subscriber.as_ref() == Some(subscriber) {
            self.exclusive_subscriber = None;
        }
        self.used_at = Instant::now();
        self.subscribers.len() < before
    }
}
