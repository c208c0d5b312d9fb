//! What a tester's rules do wrong with deliveries.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_local;
use tokio::time::Instant;

use super::Message;
use super::acknowledge::Verdict;
use super::channel::{Seat, Unacked};
use super::connection::ConnectionId;
use super::core::Broker;
use super::effects::NOTHING;
use super::faults::{Effect, Moment, Occasion};
use super::queue::Subscriber;
use super::store::{Position, QueueId};

/// How long deliveries are collected to change their order.
const COLLECT: Duration = Duration::from_millis(500);

/// How the next message of a queue is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Delivering {
    /// As always.
    Now,
    /// The message is sent twice.
    Twice,
    /// It is sent after so long.
    Later(Duration),
    /// Not now: something has changed, and somebody else may be next.
    Not,
}

impl Broker {
    /// What a tester wants to happen before a delivery.
    pub(super) fn before_delivery(&mut self, id: QueueId, subscriber: &Subscriber) -> Delivering {
        let is_met = self.reverse_the_collected(id);
        if is_met || self.rules.is_empty() {
            return Delivering::Now;
        }
        let Some(message) = self.load_head(id) else { return Delivering::Now };
        match self.meet_delivery(Moment::BeforeDelivery, id, subscriber.connection, &message) {
            None => Delivering::Now,
            Some(Effect::Twice) => Delivering::Twice,
            Some(Effect::Delay { ms }) => Delivering::Later(Duration::from_millis(ms)),
            Some(Effect::Reorder { count }) => {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.shuffle = Some((count as usize, Instant::now() + COLLECT));
                    self.timers.notify_one();
                }
                Delivering::Not
            }
            Some(Effect::Cancel) => {
                self.cancel_one(id, subscriber);
                Delivering::Not
            }
            Some(effect) => match self.before(&effect, subscriber.connection, subscriber.channel) {
                true => Delivering::Now,
                false => Delivering::Not,
            },
        }
    }

    /// Has the effect of a rule after a delivery.
    pub(super) fn after_delivery(&mut self, id: QueueId, subscriber: &Subscriber, message: &Message) {
        if self.rules.is_empty() {
            return;
        }
        match self.meet_delivery(Moment::DeliverySent, id, subscriber.connection, message) {
            None => {}
            Some(Effect::Cancel) => self.cancel_one(id, subscriber),
            Some(effect) => self.after(&effect, subscriber.connection, subscriber.channel),
        }
    }

    fn meet_delivery(
        &mut self,
        moment: Moment,
        id: QueueId,
        connection: ConnectionId,
        message: &Message,
    ) -> Option<Effect> {
        let queue = self.queues.get(&id)?.name.clone();
        let occasion = Occasion {
            moment,
            queue: &queue,
            exchange: message.exchange(),
            routing_key: message.routing_key(),
            ..NOTHING
        };
        self.meet(connection, occasion)
    }

    /// Turns the order of the messages round that were collected for it. Whether the next one is among them.
    fn reverse_the_collected(&mut self, id: QueueId) -> bool {
        let Some(queue) = self.queues.get_mut(&id) else { return false };
        if let Some((count, _)) = queue.shuffle.take() {
            queue.shuffled = queue.backlog.reverse_first(count);
        }
        let is_met = queue.shuffled > 0;
        queue.shuffled = queue.shuffled.saturating_sub(1);
        is_met
    }

    /// Remembers a delivery until its time has come. If its consumer goes before, somebody else gets the message.
    pub(super) fn deliver_later(
        &mut self,
        queue: QueueId,
        subscriber: &Subscriber,
        position: Position,
        delay: Duration,
    ) {
        let number = self.number();
        let Some(channel) = self.channel_mut(subscriber.connection, subscriber.channel) else { return };
        channel.deliver_late(number, Unacked { queue, position, consumer: Some(subscriber.tag.clone()) });
        let opened = channel.opened;
        let seat = Seat { connection: subscriber.connection, channel: subscriber.channel, opened };
        let Some(this) = self.this.upgrade() else { return };
        spawn_local(async move {
            tokio::time::sleep(delay).await;
            let mut broker = this.borrow_mut();
            broker.deliver_late(seat, number);
            broker.settle();
        });
    }

    fn deliver_late(&mut self, seat: Seat, number: u64) {
        let Some(late) = self.seated(seat).and_then(|channel| channel.take_late(number)) else { return };
        let Some(tag) = late.consumer.clone() else { return };
        let subscriber = Subscriber { connection: seat.connection, channel: seat.channel, tag };
        let consumer = self.consumer_of(&subscriber).filter(|consumer| consumer.queue == late.queue);
        let no_ack = consumer.map(|consumer| consumer.no_ack);
        let (Some(no_ack), Some(message)) = (no_ack, self.load_delivered(late.queue, late.position)) else {
            return self.give_back(&late);
        };
        let Some(queue) = self.queues.get(&late.queue) else { return };
        let Some(entry) = queue.backlog.delivered(late.position).cloned() else { return };
        self.note_delivery(late.queue, &entry, false);
        self.deliver(late.queue, &subscriber, &entry, &message);
        if no_ack {
            self.settle_delivery(&late, Verdict::Done);
        }
        self.after_delivery(late.queue, &subscriber, &message);
        self.touch(late.queue);
    }

    fn load_delivered(&self, id: QueueId, position: Position) -> Option<Arc<Message>> {
        let entry = self.queues.get(&id)?.backlog.delivered(position)?;
        let loaded = || self.journal.load(id, position, 1, 0).pop().map(|(_, message)| message);
        entry.content.message().cloned().or_else(loaded)
    }
}
