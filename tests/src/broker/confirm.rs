//! Back to the publisher: what is on disk is confirmed, in as few words as possible, and what is not taken is not.

use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, basic};
use tokio::task::spawn_local;

use super::channel::{Collection, Seat};
use super::connection::{Connection, crash};
use super::core::Broker;
use super::effects::NOTHING;
use super::faults::{Effect, Moment, Occasion};
use super::journal::Pending;

/// How long confirms are collected to change their order.
const COLLECT: Duration = Duration::from_millis(500);

impl Broker {
    /// Confirms what is on disk.
    pub(super) fn confirm_written(&mut self, written: Vec<Pending>) {
        if self.rules.is_empty() && !self.is_collecting() {
            for group in written.chunk_by(|one, other| one.seat == other.seat) {
                let numbers: Vec<u64> = group.iter().filter_map(|pending| pending.number).collect();
                self.confirm_many(group[0].seat, &numbers);
            }
            return;
        }
        for pending in written {
            self.confirm_stored(pending);
        }
    }

    /// Confirms one message that is on disk, as a tester's rules will have it.
    fn confirm_stored(&mut self, pending: Pending) {
        let Seat { connection, channel, .. } = pending.seat;
        if self.is_collecting_on(pending.seat) {
            // It has met its rule with the first of them.
            return self.collect(pending, None);
        }
        match self.meet_publish(Moment::PublishStored, &pending) {
            Some(Effect::Crash) => crash(),
            Some(Effect::Delay { ms }) => self.confirm_later(pending, Duration::from_millis(ms)),
            Some(Effect::Reorder { count }) => self.collect(pending, Some(count as usize)),
            Some(effect) => {
                if self.before(&effect, connection, channel) {
                    self.confirm(&pending);
                }
            }
            None => self.confirm(&pending),
        }
    }

    fn meet_publish(&mut self, moment: Moment, pending: &Pending) -> Option<Effect> {
        let Pending { seat, exchange, routing_key, .. } = pending;
        self.meet(seat.connection, Occasion { moment, exchange, routing_key, ..NOTHING })
    }

    /// Confirms one message.
    pub(super) fn confirm(&mut self, pending: &Pending) {
        if let Some(number) = pending.number {
            self.confirm_many(pending.seat, &[number]);
        }
        if !self.rules.is_empty()
            && let Some(effect) = self.meet_publish(Moment::ConfirmSent, pending)
        {
            self.after(&effect, pending.seat.connection, pending.seat.channel);
        }
    }

    /// Confirms messages of one channel: where none before the last of them is without an answer, one word is enough.
    fn confirm_many(&mut self, seat: Seat, numbers: &[u64]) {
        let Some(confirms) = self.seated(seat).and_then(|channel| channel.confirms.as_mut()) else { return };
        for number in numbers {
            confirms.outstanding.remove(number);
        }
        let Some(&last) = numbers.iter().max() else { return };
        let all_before = confirms.outstanding.first().is_none_or(|first| *first > last);
        let Some(connection) = self.connections.get(&seat.connection) else { return };
        if numbers.len() > 1 && all_before {
            say_ack(connection, seat.channel, last, true);
        } else {
            numbers.iter().for_each(|number| say_ack(connection, seat.channel, *number, false));
        }
    }

    /// Says that a message was not taken.
    pub(super) fn refuse_message(&mut self, pending: &Pending) {
        let Some(number) = pending.number else { return };
        let Some(confirms) = self.seated(pending.seat).and_then(|channel| channel.confirms.as_mut()) else {
            return;
        };
        confirms.outstanding.remove(&number);
        let nack = basic::Nack { delivery_tag: number, multiple: false, requeue: false };
        let method = AMQPClass::Basic(basic::AMQPMethod::Nack(nack));
        self.say(pending.seat.connection, pending.seat.channel, method);
    }

    fn confirm_later(&self, pending: Pending, delay: Duration) {
        let Some(this) = self.this.upgrade() else { return };
        spawn_local(async move {
            tokio::time::sleep(delay).await;
            let mut broker = this.borrow_mut();
            broker.confirm(&pending);
            broker.settle();
        });
    }

    fn is_collecting_on(&mut self, seat: Seat) -> bool {
        let confirms = self.seated(seat).and_then(|channel| channel.confirms.as_ref());
        confirms.is_some_and(|confirms| confirms.collection.is_some())
    }

    fn is_collecting(&self) -> bool {
        let channels = self.connections.values().flat_map(|connection| connection.channels.values());
        channels.filter_map(|channel| channel.confirms.as_ref()).any(|confirms| confirms.collection.is_some())
    }

    /// Confirms a message, or adds its confirm to those that are collected; `begin` says that so many shall be.
    fn collect(&mut self, pending: Pending, begin: Option<usize>) {
        let (seat, id) = (pending.seat, self.number());
        let Some(confirms) = self.seated(seat).and_then(|channel| channel.confirms.as_mut()) else {
            return self.confirm(&pending);
        };
        if let Some(count) = begin
            && confirms.collection.is_none()
        {
            confirms.collection = Some(Collection { id, count, confirms: Vec::new() });
            self.confirm_the_collected_later(seat, id);
        }
        let confirms = self.seated(seat).and_then(|channel| channel.confirms.as_mut());
        match confirms.and_then(|confirms| confirms.collection.as_mut()) {
            None => self.confirm(&pending),
            Some(collection) => {
                collection.confirms.push(pending);
                if collection.confirms.len() >= collection.count {
                    let id = collection.id;
                    self.confirm_the_collected(seat, id);
                }
            }
        }
    }

    /// Fewer than were asked for are sent as well, when no more come.
    fn confirm_the_collected_later(&self, seat: Seat, id: u64) {
        let Some(this) = self.this.upgrade() else { return };
        spawn_local(async move {
            tokio::time::sleep(COLLECT).await;
            let mut broker = this.borrow_mut();
            broker.confirm_the_collected(seat, id);
            broker.settle();
        });
    }

    /// Sends the confirms of a collection, the last one first.
    fn confirm_the_collected(&mut self, seat: Seat, id: u64) {
        let confirms = self.seated(seat).and_then(|channel| channel.confirms.as_mut());
        let collected = confirms.and_then(|confirms| confirms.collection.take_if(|found| found.id == id));
        let confirms = collected.map(|collection| collection.confirms).unwrap_or_default();
        confirms.iter().rev().for_each(|pending| self.confirm(pending));
    }
}

fn say_ack(connection: &Connection, channel: u16, number: u64, multiple: bool) {
    let ack = basic::Ack { delivery_tag: number, multiple };
    connection.say(channel, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
}
