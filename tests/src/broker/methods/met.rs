//! What a tester's rules do with a method before it is applied.

use std::rc::Rc;

use amq_protocol::protocol::AMQPClass;

use super::super::connection::ConnectionId;
use super::super::core::{Broker, Step};
use super::super::effects::NOTHING;
use super::super::faults::{Effect, Moment, Occasion};
use super::name::name_of;

impl Broker {
    /// Has the effect of a tester's rule about a method, or about the acknowledgement that it is.
    pub(super) fn meet_method(&mut self, id: ConnectionId, channel: u16, class: &AMQPClass) -> Option<Step> {
        let method = name_of(class);
        let mut effect = self.meet(id, Occasion { moment: Moment::Method, method, ..NOTHING });
        if effect.is_none() && matches!(method, "basic.ack" | "basic.nack" | "basic.reject") {
            let queue = self.queue_of_acknowledgement(id, channel, class);
            let queue = queue.as_deref().unwrap_or_default();
            effect = self.meet(id, Occasion { moment: Moment::AckReceived, queue, ..NOTHING });
        }
        self.interrupt(id, channel, effect.as_ref())
    }

    /// The queue of the delivery that an acknowledgement names.
    fn queue_of_acknowledgement(&self, id: ConnectionId, channel: u16, class: &AMQPClass) -> Option<Rc<str>> {
        use amq_protocol::protocol::basic::AMQPMethod;
        let tag = match class {
            AMQPClass::Basic(AMQPMethod::Ack(ack)) => ack.delivery_tag,
            AMQPClass::Basic(AMQPMethod::Nack(nack)) => nack.delivery_tag,
            AMQPClass::Basic(AMQPMethod::Reject(reject)) => reject.delivery_tag,
            _ => return None,
        };
        let unacked = &self.connections.get(&id)?.channels.get(&channel)?.unacked;
        // Zero means all.
        let unacked = if tag == 0 { unacked.values().next() } else { unacked.get(&tag) }?;
        Some(self.queues.get(&unacked.queue)?.name.clone())
    }

    /// Has an effect before something is done; `None` where it is to be done all the same.
    pub(super) fn interrupt(
        &mut self,
        id: ConnectionId,
        channel: u16,
        effect: Option<&Effect>,
    ) -> Option<Step> {
        match effect? {
            effect @ (Effect::Hold | Effect::Silence) => {
                self.before(effect, id, channel);
                Some(Step::Hold)
            }
            // There is no channel that could be closed.
            Effect::CloseChannel { .. } if channel == 0 => None,
            effect => (!self.before(effect, id, channel)).then_some(Step::Next),
        }
    }
}
