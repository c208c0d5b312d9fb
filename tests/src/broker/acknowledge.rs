//! From a consumer back to its queue: acknowledged, refused, or put back.

use super::channel::{Seat, Unacked};
use super::connection::ConnectionId;
use super::core::Broker;
use super::death::Reason;
use super::refusal::Refusal;
use super::store::{Change, QueueId};

/// What a consumer says of a delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is done.
    Done,
    /// It is to be delivered again.
    Requeue,
    /// It is to go to the dead letters, if there are any.
    Refuse,
}

impl Broker {
    /// Does what a consumer says of one delivery or of many.
    pub(super) fn acknowledge(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        (tag, multiple): (u64, bool),
        verdict: Verdict,
    ) -> Result<(), Refusal> {
        let Some(channel) = self.channel_mut(id, channel_id) else { return Ok(()) };
        let seat = Seat { connection: id, channel: channel_id, opened: channel.opened };
        let Some(settled) = channel.acknowledge(tag, multiple) else {
            return Err(Refusal::unknown_delivery_tag(tag));
        };
        let consumed_from: Vec<QueueId> = channel.consumers.values().map(|consumer| consumer.queue).collect();
        if !self.rules.is_empty() {
            let queues = settled.first().and_then(|first| self.queues.get(&first.queue));
            let queue = queues.map(|queue| queue.name.clone()).unwrap_or_default();
            self.journal.then().acknowledged.push((seat, queue));
        }
        settled.into_iter().for_each(|unacked| self.settle_delivery(&unacked, verdict));
        // A shared limit may have held back consumers of any queue.
        consumed_from.into_iter().for_each(|queue| self.touch(queue));
        Ok(())
    }

    /// Does it for one delivery. Nothing happens where the queue is gone, or the delivery was settled before.
    pub(super) fn settle_delivery(&mut self, unacked: &Unacked, verdict: Verdict) {
        let Unacked { queue: id, position, .. } = *unacked;
        let Some(queue) = self.queues.get_mut(&id) else { return };
        let Some(mut entry) = queue.backlog.settle(position) else { return };
        match verdict {
            Verdict::Done => {
                if entry.content.is_stored() {
                    self.journal.add(Change::Remove { queue: id, position });
                }
            }
            Verdict::Refuse => self.burials.push_back((id, entry, Reason::Rejected)),
            Verdict::Requeue => {
                entry.attempts += 1;
                entry.is_redelivered = true;
                let limit = queue.options.delivery_limit.filter(|_| queue.is_quorum());
                if limit.is_some_and(|limit| entry.attempts > limit) {
                    self.burials.push_back((id, entry, Reason::DeliveryLimit));
                } else {
                    if queue.is_quorum() && entry.content.is_stored() {
                        self.journal.add(Change::Attempts { queue: id, position, count: entry.attempts });
                    }
                    queue.backlog.put_back(entry);
                }
            }
        }
        self.touch(id);
    }

    /// Ends a channel: its consumers are no more, and what it did not acknowledge waits again.
    pub(super) fn leave_channel(&mut self, id: ConnectionId, channel_id: u16) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        let Some(channel) = connection.channels.remove(&channel_id) else { return };
        for (tag, consumer) in channel.consumers {
            self.unsubscribe(consumer.queue, id, channel_id, &tag);
        }
        for unacked in channel.unacked.into_values() {
            self.settle_delivery(&unacked, Verdict::Requeue);
        }
        channel.late.into_values().for_each(|late| self.give_back(&late));
    }

    /// Puts back what was taken for a consumer and never delivered, as it was.
    pub(super) fn give_back(&mut self, late: &Unacked) {
        let Some(queue) = self.queues.get_mut(&late.queue) else { return };
        if let Some(entry) = queue.backlog.settle(late.position) {
            queue.backlog.put_back(entry);
            self.touch(late.queue);
        }
    }
}
