//! The broker's state: everything that is declared, waits and is connected, owned by one thread.
//!
//! Connections hand in frames, and `settle` then brings messages to consumers and changes to the disk. No method here
//! waits for anything, so whatever a frame does is done before the next one is looked at.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::{Rc, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use amq_protocol::protocol::AMQPClass;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::channel::Seat;
use super::connection::{Agreement, Connection, ConnectionId, Link, short};
use super::death::Reason;
use super::exchange::Exchanges;
use super::faults::Rules;
use super::journal::Journal;
use super::orders::Silence;
use super::queue::{Entry, Queue, Subscriber};
use super::refusal::Refusal;
use super::store::{Change, QueueId};

/// How many bytes of waiting messages stay in memory once they are on disk. Small ones take twice their bytes.
const CACHE: u64 = 2 * 1024 * 1024;

/// What the task of a connection is to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Take the next frame.
    Next,
    /// Wait until this batch is on disk, and have said what was deferred.
    Commit(u64),
    /// Wait until it is released, and hand the same frame in again.
    Hold,
    /// Look first whether it may go on.
    Pause,
}

/// One virtual host.
#[derive(Debug)]
pub struct Vhost {
    /// Its exchanges and bindings.
    pub exchanges: Exchanges,
    /// Its queues, by name.
    pub queues: HashMap<Rc<str>, QueueId>,
}

impl Vhost {
    /// One with nothing but the exchanges that are always there.
    pub fn new(name: &str) -> Self {
        Self { exchanges: Exchanges::new(name), queues: HashMap::new() }
    }
}

/// The whole state.
pub struct Broker {
    /// The virtual hosts.
    pub vhosts: BTreeMap<Rc<str>, Vhost>,
    /// The queues of all of them.
    pub queues: HashMap<QueueId, Queue>,
    /// The clients.
    pub connections: HashMap<ConnectionId, Connection>,
    /// What a tester wants to happen.
    pub rules: Rules,
    /// Until when new clients are turned away.
    pub refusing: Option<Option<Instant>>,
    /// Whether a tester wants publishers to be blocked.
    pub is_blocked: bool,
    /// Whom the broker shall neither hear nor answer.
    pub silences: Vec<Silence>,
    /// Told when a silence is over.
    pub spoken: Rc<Notify>,
    pub(super) journal: Journal,
    pub(super) next_queue: QueueId,
    pub(super) next_connection: ConnectionId,
    /// How many channels were opened, and late deliveries and collections of confirms begun.
    count: u64,
    /// Messages that are to go to a dead-letter exchange.
    pub(super) burials: VecDeque<(QueueId, Entry, Reason)>,
    /// Queues that may have something to deliver.
    dirty: Vec<QueueId>,
    /// How many bytes of messages may wait or be unacknowledged in all queues together.
    pub(super) most_bytes: u64,
    /// Whether they are more, as of the last look.
    pub(super) is_full: bool,
    pub(super) now_ms: u64,
    /// Itself, for what it does later.
    pub(super) this: Weak<RefCell<Broker>>,
    /// Told when a timer may have to ring earlier.
    pub(super) timers: Rc<Notify>,
}

impl Broker {
    /// One without queues, which holds so many bytes of messages before it blocks publishers.
    pub fn new(journal: Journal, most_bytes: u64) -> Self {
        Self {
            vhosts: BTreeMap::new(),
            queues: HashMap::new(),
            connections: HashMap::new(),
            rules: Rules::new(),
            refusing: None,
            is_blocked: false,
            silences: Vec::new(),
            spoken: Rc::default(),
            journal,
            next_queue: 1,
            next_connection: 1,
            count: 0,
            burials: VecDeque::new(),
            dirty: Vec::new(),
            most_bytes,
            is_full: false,
            now_ms: unix_ms(),
            this: Weak::new(),
            timers: Rc::default(),
        }
    }

    /// A client is there.
    pub fn connect(&mut self, agreement: Agreement, link: Rc<Link>) -> ConnectionId {
        let id = self.next_connection;
        self.next_connection += 1;
        link.silence_by_order(self.is_silenced(&agreement.name));
        // It came before the others were turned away.
        if self.is_refusing() {
            link.cut();
        }
        self.connections.insert(id, Connection::new(agreement, link));
        id
    }

    /// A client is gone: what it did not acknowledge waits again, and what was its own is no more. Does nothing the
    /// second time.
    pub fn disconnect(&mut self, id: ConnectionId) {
        self.leave(id);
        self.settle();
    }

    /// The same in the midst of something that settles later. What was said to the client before goes out.
    pub(super) fn leave(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        connection.link.end();
        let mut channels: Vec<u16> = connection.channels.keys().copied().collect();
        channels.sort_unstable();
        channels.into_iter().for_each(|channel| self.leave_channel(id, channel));
        let Some(connection) = self.connections.remove(&id) else { return };
        connection.queues.into_iter().for_each(|queue| self.delete_queue(queue));
    }

    /// Tells every client that the broker ends, takes no other, and has the disk know that it ended in good order.
    pub fn begin_to_end(&mut self) {
        self.refusing = Some(None);
        self.define_orderly_end();
        let refusal = Refusal::connection_forced("broker forced connection closure with reason 'shutdown'");
        let all: Vec<_> = self.connections.keys().copied().collect();
        all.into_iter().for_each(|id| self.close_connection(id, (0, 0), &refusal));
        self.settle();
    }

    /// Ends every connection without a word.
    pub fn cut_all(&mut self) {
        let all: Vec<_> = self.connections.keys().copied().collect();
        all.into_iter().for_each(|id| self.cut(id));
        self.settle();
    }

    /// Whether all is on disk, and nobody has anything to hear any more.
    pub fn is_at_rest(&self) -> bool {
        let has_heard =
            |connection: &Connection| connection.link.is_stopped() || connection.link.outbox.is_empty();
        self.journal.is_idle() && self.connections.values().all(has_heard)
    }

    /// Ends a connection without a word.
    pub(super) fn cut(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get(&id) {
            connection.link.cut();
        }
        self.leave(id);
    }

    /// A number that was never given before.
    pub(super) fn number(&mut self) -> u64 {
        self.count += 1;
        self.count
    }

    /// The channel that sits there, if it is still the same one and open.
    pub(super) fn seated(&mut self, seat: Seat) -> Option<&mut super::channel::Channel> {
        let channel = self.channel_mut(seat.connection, seat.channel)?;
        (channel.opened == seat.opened && !channel.is_closing).then_some(channel)
    }

    /// The longest frame of a connection.
    pub fn frame_max(&self, id: ConnectionId) -> u32 {
        self.connections.get(&id).map_or(0, |connection| connection.frame_max)
    }

    /// Whether a connection was told why it is closed.
    pub fn is_closing(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.is_closing)
    }

    /// How many bytes of messages the disk has not got yet.
    pub fn unwritten_bytes(&self) -> usize {
        self.journal.unwritten_bytes()
    }

    /// Changes whenever a batch is on disk.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.journal.committed()
    }

    /// Says what had to wait for the disk.
    pub fn say_deferred(&mut self, id: ConnectionId) {
        if let Some(connection) = self.connections.get_mut(&id)
            && let Some((channel, method)) = connection.deferred.take()
            && connection.channels.get(&channel).is_some_and(|channel| !channel.is_closing)
        {
            connection.say(channel, method);
        }
    }

    /// A connection has room again for what its consumers want.
    pub fn resume(&mut self, id: ConnectionId) {
        let Some(connection) = self.connections.get(&id) else { return };
        let consumers = connection.channels.values().flat_map(|channel| channel.consumers.values());
        self.dirty.extend(consumers.map(|consumer| consumer.queue));
        self.settle();
    }

    /// Something has changed that may let this queue deliver.
    pub(super) fn touch(&mut self, queue: QueueId) {
        if self.dirty.last() != Some(&queue) {
            self.dirty.push(queue);
        }
    }

    /// Brings messages to consumers, dead letters to their exchanges, and what has changed to the disk.
    pub fn settle(&mut self) {
        self.now_ms = unix_ms();
        loop {
            self.bury_all();
            let mut dirty = std::mem::take(&mut self.dirty);
            if dirty.is_empty() {
                break;
            }
            dirty.sort_unstable();
            dirty.dedup();
            dirty.into_iter().for_each(|queue| self.dispatch(queue));
        }
        self.journal.write();
        self.look_whether_it_is_full();
    }

    /// A batch is on disk.
    pub fn committed_now(&mut self, changes: Vec<Change>) {
        let mut cached: u64 = self.queues.values().map(|queue| queue.backlog.cached_bytes()).sum();
        for change in changes {
            if let Change::Insert { queue, position, message, .. } = change
                && let Some(queue) = self.queues.get_mut(&queue)
            {
                let before = queue.backlog.cached_bytes();
                queue.backlog.written(position, cached + message.size() as u64 <= CACHE);
                cached += queue.backlog.cached_bytes() - before;
            }
        }
        let consequences = self.journal.written();
        self.journal.write();
        self.confirm_written(consequences.confirms);
        for (seat, queue) in consequences.acknowledged {
            self.after_acknowledgement(seat, &queue);
        }
        self.settle();
    }

    /// Takes one consumer from its queue, which goes with its last one where it was declared so.
    pub(super) fn cancel_one(&mut self, queue: QueueId, subscriber: &Subscriber) {
        self.cancel(subscriber);
        self.unsubscribe(queue, subscriber.connection, subscriber.channel, &subscriber.tag);
    }

    /// Takes a consumer's queue away from it, and tells it.
    pub(super) fn cancel(&mut self, subscriber: &Subscriber) {
        let Some(connection) = self.connections.get_mut(&subscriber.connection) else { return };
        let Some(channel) = connection.channels.get_mut(&subscriber.channel) else { return };
        if channel.consumers.remove(&subscriber.tag).is_some() && connection.knows_cancel {
            let cancel =
                amq_protocol::protocol::basic::Cancel { consumer_tag: short(&subscriber.tag), nowait: true };
            let method = amq_protocol::protocol::basic::AMQPMethod::Cancel(cancel);
            connection.say(subscriber.channel, AMQPClass::Basic(method));
        }
    }
}

/// Milliseconds since 1970.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
