//! From a queue to its consumers.

use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, basic};

use super::Message;
use super::connection::{Connection, short};
use super::core::Broker;
use super::death::{Reason, with_delivery_count};
use super::misdeliver::Delivering;
use super::queue::{Entry, Queue, Subscriber};
use super::store::{Change, QueueId};

/// How many messages are loaded at once.
const LOAD: usize = 64;

/// No more are loaded at once than one that is larger, or all that fit into so many bytes.
const LOAD_BYTES: usize = 256 * 1024;

impl Broker {
    /// Delivers what the consumers of a queue have room for, in turns.
    pub(super) fn dispatch(&mut self, id: QueueId) {
        // What may wait no time at all still goes to a consumer who waits for it.
        let before = self.now_ms.saturating_sub(1);
        self.expire(id, before);
        while let Some(subscriber) = self.next_subscriber(id) {
            let delivering = self.before_delivery(id, &subscriber);
            if delivering == Delivering::Not {
                continue;
            }
            let Some(message) = self.load_head(id) else { break };
            self.deliver_head(id, &subscriber, &message, delivering);
            self.expire(id, before);
        }
        self.expire(id, self.now_ms);
        self.forget_old_wish(id);
    }

    /// Where nobody has taken what was collected in time, it goes on as it is.
    fn forget_old_wish(&mut self, id: QueueId) {
        if let Some(queue) = self.queues.get_mut(&id)
            && queue.shuffle.is_some_and(|(_, until)| until <= tokio::time::Instant::now())
        {
            queue.shuffle = None;
        }
    }

    /// The next consumer who has room, where there is something to deliver.
    fn next_subscriber(&mut self, id: QueueId) -> Option<Subscriber> {
        let queue = self.queues.get_mut(&id)?;
        if queue.backlog.is_empty() || queue.is_collecting() {
            return None;
        }
        for _ in 0..queue.subscribers.len() {
            queue.subscribers.rotate_left(1);
            let subscriber = queue.subscribers.back()?;
            if has_room(self.connections.get(&subscriber.connection), subscriber) {
                return Some(subscriber.clone());
            }
        }
        None
    }

    /// Takes the next message for a consumer, who will acknowledge it, or not, and sends it now or later.
    fn deliver_head(
        &mut self,
        id: QueueId,
        subscriber: &Subscriber,
        message: &Message,
        delivering: Delivering,
    ) {
        let Some(no_ack) = self.consumer_of(subscriber).map(|consumer| consumer.no_ack) else { return };
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if let Delivering::Later(delay) = delivering {
            if let Some(entry) = queue.backlog.deliver_head() {
                self.deliver_later(id, subscriber, entry.position, delay);
            }
            return;
        }
        let taken = if no_ack { queue.backlog.remove_head() } else { queue.backlog.deliver_head() };
        let Some(entry) = taken else { return };
        self.note_delivery(id, &entry, no_ack);
        let times = if delivering == Delivering::Twice { 2 } else { 1 };
        for _ in 0..times {
            self.deliver(id, subscriber, &entry, message);
        }
        self.after_delivery(id, subscriber, message);
    }

    /// Takes a message for `basic.get`.
    pub(super) fn get_head(&mut self, id: QueueId, no_ack: bool) -> Option<(Entry, Arc<Message>)> {
        self.expire(id, self.now_ms);
        let message = self.load_head(id)?;
        let queue = self.queues.get_mut(&id)?;
        let entry = if no_ack { queue.backlog.remove_head()? } else { queue.backlog.deliver_head()? };
        self.note_delivery(id, &entry, no_ack);
        Some((entry, message))
    }

    /// The disk is to know what was delivered: whatever comes again after the broker's end may have been seen before.
    pub(super) fn note_delivery(&mut self, id: QueueId, entry: &Entry, no_ack: bool) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if !entry.content.is_stored() {
            return;
        }
        if no_ack {
            self.journal.add(Change::Remove { queue: id, position: entry.position });
        } else if entry.position > queue.delivered_up_to {
            queue.delivered_up_to = entry.position;
            self.journal.add(Change::DeliveredUpTo { queue: id, position: entry.position });
        }
    }

    /// The content of the next message, from the disk where it is only there.
    pub(super) fn load_head(&mut self, id: QueueId) -> Option<Arc<Message>> {
        let queue = self.queues.get_mut(&id)?;
        let head = queue.backlog.head()?;
        if let Some(message) = head.content.message() {
            return Some(message.clone());
        }
        let position = head.position;
        queue.backlog.loaded(self.journal.load(id, position, LOAD, LOAD_BYTES));
        queue.backlog.head()?.content.message().cloned()
    }

    pub(super) fn deliver(&mut self, id: QueueId, subscriber: &Subscriber, entry: &Entry, message: &Message) {
        let Some(queue) = self.queues.get(&id) else { return };
        let Some(connection) = self.connections.get_mut(&subscriber.connection) else { return };
        let Some(channel) = connection.channels.get_mut(&subscriber.channel) else { return };
        let no_ack = channel.consumers.get(&subscriber.tag).is_none_or(|consumer| consumer.no_ack);
        let deliver = basic::Deliver {
            consumer_tag: short(&subscriber.tag),
            delivery_tag: channel.deliver(id, entry.position, Some(&subscriber.tag), no_ack),
            redelivered: entry.is_redelivered,
            exchange: message.exchange().into(),
            routing_key: message.routing_key().into(),
        };
        let method = AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver));
        say_content(connection, subscriber.channel, method, message, queue, entry);
    }

    pub(super) fn consumer_of(&self, subscriber: &Subscriber) -> Option<&super::channel::Consumer> {
        let connection = self.connections.get(&subscriber.connection)?;
        connection.channels.get(&subscriber.channel)?.consumers.get(&subscriber.tag)
    }

    /// Takes away what has waited too long at the head.
    fn expire(&mut self, id: QueueId, until_ms: u64) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        while queue.next_expiry().is_some_and(|at| at <= until_ms)
            && let Some(entry) = queue.backlog.remove_head()
        {
            self.burials.push_back((id, entry, Reason::Expired));
        }
    }
}

/// Appends a method and its message. Where it waits in a quorum queue it says how often it came back, if it did; a message
/// that was asked for always says it, as RabbitMQ's do.
pub(super) fn say_content(
    connection: &Connection,
    channel: u16,
    method: AMQPClass,
    message: &Message,
    queue: &Queue,
    entry: &Entry,
) {
    let is_asked_for = matches!(method, AMQPClass::Basic(basic::AMQPMethod::GetOk(_)));
    let counted = queue.is_quorum() && (entry.attempts > 0 || is_asked_for);
    let properties = counted.then(|| with_delivery_count(message.properties(), entry.attempts));
    connection.link.outbox.content(channel, method, message, properties.as_deref(), connection.frame_max);
}

fn has_room(connection: Option<&Connection>, subscriber: &Subscriber) -> bool {
    let Some(connection) = connection else { return false };
    if connection.is_closing
        || connection.link.is_stopped()
        || connection.link.is_ended()
        || connection.link.outbox.is_full()
    {
        return false;
    }
    let channel = connection.channels.get(&subscriber.channel).filter(|channel| !channel.is_closing);
    channel.is_some_and(|channel| {
        channel.consumers.get(&subscriber.tag).is_some_and(|consumer| channel.may_deliver(consumer))
    })
}
