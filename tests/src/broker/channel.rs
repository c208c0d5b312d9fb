//! A channel: what a client has asked for on it, and what it still owes an answer to.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use super::connection::ConnectionId;
use super::journal::Pending;
use super::store::{Position, QueueId};

/// Names an open channel: one that is opened again after it was closed is another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Seat {
    /// Its connection.
    pub connection: ConnectionId,
    /// Its number there.
    pub channel: u16,
    /// When it was opened, by a count of all that were.
    pub opened: u64,
}

/// One channel of a connection.
#[derive(Debug, Default)]
pub struct Channel {
    /// When it was opened, by a count of all that were.
    pub opened: u64,
    /// What the broker told it that it is closed for; then only its answer counts.
    pub is_closing: bool,
    /// How many deliveries each consumer that is to come may have unacknowledged; zero is any number.
    pub prefetch: u16,
    /// How many all of its consumers may have together.
    pub shared_prefetch: u16,
    /// Its consumers, by their names.
    pub consumers: BTreeMap<Rc<str>, Consumer>,
    /// What was delivered and is not acknowledged, by delivery tag.
    pub unacked: BTreeMap<u64, Unacked>,
    /// How many deliveries of consumers are among them, or are late.
    pub consumed: usize,
    /// Deliveries that a tester makes late.
    pub late: BTreeMap<u64, Unacked>,
    /// The last delivery tag.
    pub last_tag: u64,
    /// The queue that was declared last, which the client means where it names none.
    pub last_queue: Option<Rc<str>>,
    /// The message that is coming in.
    pub incoming: Option<Incoming>,
    /// Where the client asked for confirms.
    pub confirms: Option<Confirms>,
    /// How many consumers it had so far: their names are made of it.
    pub named: u64,
}

/// A consumer, as its channel knows it.
#[derive(Debug)]
pub struct Consumer {
    /// What it consumes from.
    pub queue: QueueId,
    /// Whether a delivery is acknowledged by being sent.
    pub no_ack: bool,
    /// How many deliveries it may have unacknowledged; zero is any number.
    pub prefetch: u16,
    /// How many it has.
    pub unacked: u16,
}

/// A delivery that is not acknowledged.
#[derive(Debug)]
pub struct Unacked {
    /// Where it came from.
    pub queue: QueueId,
    /// Its place there.
    pub position: Position,
    /// Who got it; nobody, where it was asked for by `basic.get`.
    pub consumer: Option<Rc<str>>,
}

/// A message of which not everything has come.
#[derive(Debug)]
pub struct Incoming {
    /// Where it goes.
    pub exchange: Box<str>,
    /// By which key.
    pub routing_key: Box<str>,
    /// Whether it comes back where no queue wants it.
    pub mandatory: bool,
    /// Its properties, once they are here, and how long its body will be.
    pub head: Option<(Box<[u8]>, u64)>,
    /// As much of its body as has come.
    pub body: Vec<u8>,
}

/// Which messages of a channel are not confirmed.
#[derive(Debug, Default)]
pub struct Confirms {
    /// The number of the last one.
    pub last: u64,
    /// Those without an answer.
    pub outstanding: BTreeSet<u64>,
    /// A tester wants some to be sent in reverse.
    pub collection: Option<Collection>,
}

/// Confirms that are collected, to be sent with the last one first.
#[derive(Debug)]
pub struct Collection {
    /// Tells it from those before and after it.
    pub id: u64,
    /// How many there shall be.
    pub count: usize,
    /// Those that are there.
    pub confirms: Vec<Pending>,
}

impl Channel {
    /// Whether one of its consumers may get one more delivery.
    pub fn may_deliver(&self, consumer: &Consumer) -> bool {
        let has_room = |limit: u16, count: usize| limit == 0 || count < limit as usize;
        consumer.no_ack
            || has_room(consumer.prefetch, consumer.unacked.into())
                && has_room(self.shared_prefetch, self.consumed)
    }

    /// Counts a delivery and gives it a tag.
    pub fn deliver(
        &mut self,
        queue: QueueId,
        position: Position,
        consumer: Option<&Rc<str>>,
        no_ack: bool,
    ) -> u64 {
        self.last_tag += 1;
        if !no_ack {
            let delivery = Unacked { queue, position, consumer: consumer.cloned() };
            self.count(&delivery, 1);
            self.unacked.insert(self.last_tag, delivery);
        }
        self.last_tag
    }

    /// Counts a delivery that is still to come, under this number.
    pub fn deliver_late(&mut self, number: u64, late: Unacked) {
        self.count(&late, 1);
        self.late.insert(number, late);
    }

    /// The time of a late delivery has come; `None` where it is not expected any more.
    pub fn take_late(&mut self, number: u64) -> Option<Unacked> {
        let late = self.late.remove(&number)?;
        self.count(&late, -1);
        Some(late)
    }

    /// The same for all that a consumer would have got.
    pub fn take_late_of(&mut self, tag: &Rc<str>) -> Vec<Unacked> {
        let of_this = self.late.iter().filter(|(_, late)| late.consumer.as_ref() == Some(tag));
        let numbers: Vec<u64> = of_this.map(|(number, _)| *number).collect();
        numbers.into_iter().filter_map(|number| self.take_late(number)).collect()
    }

    /// Counts deliveries to a consumer that are not acknowledged.
    fn count(&mut self, delivery: &Unacked, change: i16) {
        let Some(tag) = &delivery.consumer else { return };
        self.consumed = self.consumed.saturating_add_signed(change.into());
        // Another consumer may have the name by now.
        if self.consumers.get_key_value(tag).is_some_and(|(known, _)| Rc::ptr_eq(known, tag))
            && let Some(consumer) = self.consumers.get_mut(tag)
        {
            consumer.unacked = consumer.unacked.saturating_add_signed(change);
        }
    }

    /// Takes what an acknowledgement is about: one delivery, or all up to it; zero with `multiple` is all.
    ///
    /// `None`: there is no such delivery.
    pub fn acknowledge(&mut self, tag: u64, multiple: bool) -> Option<Vec<Unacked>> {
        let settled: Vec<Unacked> = match (tag, multiple) {
            (0, true) => std::mem::take(&mut self.unacked).into_values().collect(),
            (tag, false) => vec![self.unacked.remove(&tag)?],
            (tag, true) => {
                if !self.unacked.contains_key(&tag) {
                    return None;
                }
                let later = self.unacked.split_off(&(tag + 1));
                std::mem::replace(&mut self.unacked, later).into_values().collect()
            }
        };
        settled.iter().for_each(|delivery| self.count(delivery, -1));
        Some(settled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with_deliveries(count: u64) -> Channel {
        let mut channel = Channel::default();
        let tag: Rc<str> = "c".into();
        channel.consumers.insert(tag.clone(), Consumer { queue: 1, no_ack: false, prefetch: 2, unacked: 0 });
        for position in 1..=count {
            channel.deliver(1, position, Some(&tag), false);
        }
        channel
    }

    fn positions(settled: Option<Vec<Unacked>>) -> Option<Vec<Position>> {
        settled.map(|settled| settled.iter().map(|unacked| unacked.position).collect())
    }

    #[test]
    fn an_acknowledgement_is_about_one_delivery_or_all_up_to_it() {
        let mut channel = with_deliveries(5);

        assert_eq!(positions(channel.acknowledge(2, false)), Some(vec![2]));
        assert_eq!(positions(channel.acknowledge(2, false)), None);
        assert_eq!(positions(channel.acknowledge(3, true)), Some(vec![1, 3]));
        assert_eq!(positions(channel.acknowledge(3, true)), None);
        assert_eq!(positions(channel.acknowledge(0, true)), Some(vec![4, 5]));
        assert_eq!(positions(channel.acknowledge(0, true)), Some(vec![]));
        assert_eq!(channel.consumed, 0);
    }

    #[test]
    fn a_consumer_gets_no_more_than_it_asked_for() {
        let mut channel = with_deliveries(2);
        assert!(!channel.may_deliver(&channel.consumers["c"]));

        channel.acknowledge(1, false).expect("it was delivered");

        assert!(channel.may_deliver(&channel.consumers["c"]));
        channel.shared_prefetch = 1;
        assert!(!channel.may_deliver(&channel.consumers["c"]));
    }
}
