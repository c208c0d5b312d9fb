//! From a publisher to the queues: routing and limits.

use std::sync::Arc;

use amq_protocol::protocol::{AMQPClass, basic};

use super::arguments::Overflow;
use super::channel::{Incoming, Seat};
use super::connection::{ConnectionId, LOGIN};
use super::core::{Broker, Step};
use super::death::Reason;
use super::faults::Effect;
use super::journal::Pending;
use super::methods::REPLY_TO;
use super::queue::{Content, Entry, Size};
use super::refusal::Refusal;
use super::store::{Change, QueueId};
use super::{BadMessage, Message};

/// What became of a message at the queues that it was routed to.
#[derive(Debug, Default)]
pub(super) struct Enqueued {
    /// Whether a confirm has to wait for the disk.
    is_stored: bool,
    /// Whether a queue had no room.
    is_refused: bool,
}

impl Broker {
    /// Takes a message that has come wholly.
    pub(super) fn publish(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        incoming: Incoming,
        effect: Option<Effect>,
    ) -> Result<Step, Refusal> {
        let Incoming { exchange, routing_key, mandatory, head, body } = incoming;
        let (properties, _) = head.unwrap_or_default();
        // RabbitMQ looks for the exchange first.
        let targets = self.targets(id, &exchange, &routing_key)?;
        let message = Message::new(&exchange, &routing_key, &properties, &body).map_err(|bad| match bad {
            BadMessage::Expiration(text) => Refusal::expiration(&text),
            bad => Refusal::syntax_error(format_args!("the message cannot be read: {bad}")),
        })?;
        check(&message)?;

        let Some((seat, number)) = self.number_message(id, channel_id) else { return Ok(Step::Next) };
        let pending = Pending { seat, number, exchange, routing_key };
        if effect == Some(Effect::Nack) {
            self.refuse_message(&pending);
            return Ok(Step::Next);
        }
        if targets.is_empty() || effect == Some(Effect::Return) {
            if mandatory || effect == Some(Effect::Return) {
                self.say_return(id, channel_id, &message);
            }
            self.confirm(&pending);
            return Ok(Step::Next);
        }

        let Enqueued { is_stored, is_refused } = self.enqueue(Arc::new(message), &targets);
        if is_refused {
            self.refuse_message(&pending);
        } else if !is_stored {
            self.confirm(&pending);
        } else if pending.number.is_some() || !self.rules.is_empty() {
            self.journal.then().confirms.push(pending);
        }
        Ok(Step::Next)
    }

    /// The queues that a message goes to.
    fn targets(
        &mut self,
        id: ConnectionId,
        exchange: &str,
        routing_key: &str,
    ) -> Result<Vec<QueueId>, Refusal> {
        let Some(connection) = self.connections.get(&id) else { return Ok(Vec::new()) };
        let Some(vhost) = self.vhosts.get(&connection.vhost) else { return Ok(Vec::new()) };
        if exchange.is_empty() {
            return Ok(vhost.queues.get(routing_key).copied().into_iter().collect());
        }
        let mut targets = Vec::new();
        vhost.exchanges.route(exchange, routing_key, &mut targets)?;
        Ok(targets)
    }

    /// The channel that a message came over, and its number there, if its channel has confirms.
    fn number_message(&mut self, connection: ConnectionId, channel_id: u16) -> Option<(Seat, Option<u64>)> {
        let channel = self.channel_mut(connection, channel_id)?;
        let number = channel.confirms.as_mut().map(|confirms| {
            confirms.last += 1;
            confirms.outstanding.insert(confirms.last);
            confirms.last
        });
        Some((Seat { connection, channel: channel_id, opened: channel.opened }, number))
    }

    /// Brings a message to its queues.
    pub(super) fn enqueue(&mut self, message: Arc<Message>, targets: &[QueueId]) -> Enqueued {
        let mut result = Enqueued::default();
        let size = Size::of(&message);
        for &id in targets {
            let Some(queue) = self.queues.get_mut(&id) else { continue };
            if queue.refuses(size.body) {
                result.is_refused = true;
                if queue.options.overflow == Overflow::RejectPublishDlx {
                    let entry = stray(&message, size);
                    self.burials.push_back((id, entry, Reason::MaxLen));
                }
                continue;
            }
            let expires_at_ms = queue.expiry(message.expiration(), self.now_ms);
            let stores = queue.stores(message.is_persistent());
            let content =
                if stores { Content::Unwritten(message.clone()) } else { Content::Volatile(message.clone()) };
            let position = queue.backlog.push(content, size, expires_at_ms);
            if stores {
                result.is_stored = true;
                let message = message.clone();
                self.journal.add(Change::Insert { queue: id, position, expires_at_ms, message });
            }
            if expires_at_ms.is_some() {
                // Who already waits gets it even if it may not wait at all.
                self.dispatch(id);
                self.timers.notify_one();
            }
            self.keep_limit(id);
            self.touch(id);
        }
        result
    }

    /// Pushes the oldest messages out of a queue that holds more than it may; whoever can consume them comes first.
    fn keep_limit(&mut self, id: QueueId) {
        let is_over = |broker: &Self| broker.queues.get(&id).is_some_and(|queue| queue.is_over_its_limit());
        if is_over(self) {
            self.dispatch(id);
        }
        while is_over(self)
            && let Some(queue) = self.queues.get_mut(&id)
            && let Some(entry) = queue.backlog.remove_head()
        {
            self.burials.push_back((id, entry, Reason::MaxLen));
        }
    }

    fn say_return(&mut self, id: ConnectionId, channel: u16, message: &Message) {
        let Some(connection) = self.connections.get(&id) else { return };
        let returned = basic::Return {
            reply_code: 312,
            reply_text: "NO_ROUTE".into(),
            exchange: message.exchange().into(),
            routing_key: message.routing_key().into(),
        };
        let method = AMQPClass::Basic(basic::AMQPMethod::Return(returned));
        connection.link.outbox.content(channel, method, message, None, connection.frame_max);
    }
}

/// A message that never was in the queue that has no room for it.
fn stray(message: &Arc<Message>, size: Size) -> Entry {
    Entry {
        position: 0,
        content: Content::Volatile(message.clone()),
        size,
        expires_at_ms: None,
        attempts: 0,
        is_redelivered: false,
    }
}

/// Refuses what a message says wrongly of its publisher, and headers that RabbitMQ heeds and this broker does not: they must
/// not look as if it did.
fn check(message: &Message) -> Result<(), Refusal> {
    if message.reply_to().is_some_and(|queue| queue == REPLY_TO) {
        return Err(Refusal::precondition_failed("fast reply consumer does not exist"));
    }
    if let Some(user) = message.user_id().filter(|user| user != LOGIN) {
        let text = format!("user_id property set to '{user}' but authenticated user was '{LOGIN}'");
        return Err(Refusal::precondition_failed(text));
    }
    if let Some(mode) = message.unknown_delivery_mode() {
        let text = format!("invalid message: {{delivery_mode_unknown,{mode}}}");
        return Err(Refusal::precondition_failed(text));
    }
    if message.has_other_recipients() {
        return Err(Refusal::not_implemented(
            "headers 'CC' and 'BCC': the embedded broker sends to no one by them",
        ));
    }
    Ok(())
}
