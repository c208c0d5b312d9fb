//! From a publisher to the queues: routing, limits, and what becomes of dead letters.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use amq_protocol::protocol::{AMQPClass, basic};
use amq_protocol::types::AMQPValue;
use tokio::time::Instant;

use super::arguments::Overflow;
use super::channel::{Incoming, Seat};
use super::connection::{ConnectionId, LOGIN};
use super::core::{Broker, Step};
use super::death::{self, Reason};
use super::faults::Effect;
use super::journal::Pending;
use super::queue::{Content, Entry, Size};
use super::refusal::Refusal;
use super::store::{Change, QueueId};
use super::{BadMessage, Message};

/// How often dead letters that nobody took are offered again.
const AGAIN: Duration = Duration::from_secs(1);

/// What became of a message at the queues that it was routed to.
#[derive(Debug, Default)]
struct Enqueued {
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
        let message = Message::new(&exchange, &routing_key, &properties, &body).map_err(|bad| match bad {
            BadMessage::Expiration(text) => Refusal::expiration(&text),
            bad => Refusal::syntax_error(format_args!("the message cannot be read: {bad}")),
        })?;
        check(&message)?;

        let targets = self.targets(id, &exchange, &routing_key)?;
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
    fn enqueue(&mut self, message: Arc<Message>, targets: &[QueueId]) -> Enqueued {
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

    /// Ends a message's time in a queue: it goes to the dead-letter exchange, or nowhere. Both happen in one commit.
    pub(super) fn bury(&mut self, id: QueueId, entry: Entry, reason: Reason) {
        let Some(queue) = self.queues.get(&id) else { return };
        let dead_letter = queue.options.dead_letter.clone();
        let must_arrive = is_at_least_once(queue);
        let (name, vhost) = (queue.name.clone(), queue.vhost.clone());
        if let Some(to) = dead_letter {
            let message = match entry.content.message() {
                Some(message) => Some(message.clone()),
                None => self.load(id, entry.position),
            };
            let Some(message) = message else { return };
            let letter = death::dead_letter(&message, &name, reason, &to, SystemTime::now());
            let targets = self.dead_letter_targets(&vhost, &letter, reason);
            if must_arrive && !self.can_arrive(&letter, &targets) {
                self.strand(id, entry, reason);
                return;
            }
            self.enqueue(Arc::new(letter), &targets);
        }
        if entry.content.is_stored() {
            self.journal.add(Change::Remove { queue: id, position: entry.position });
        }
    }

    /// Buries all that died so far.
    pub(super) fn bury_all(&mut self) {
        while let Some((queue, entry, reason)) = self.burials.pop_front() {
            self.bury(queue, entry, reason);
        }
    }

    /// Whether there are queues for a dead letter, and all take it.
    fn can_arrive(&self, letter: &Message, targets: &[QueueId]) -> bool {
        let size = Size::of(letter).body;
        let refuses = |id: &QueueId| self.queues.get(id).is_some_and(|queue| queue.refuses(size));
        !targets.is_empty() && !targets.iter().any(refuses)
    }

    /// Keeps a dead letter that nobody takes, to be offered again.
    fn strand(&mut self, id: QueueId, entry: Entry, reason: Reason) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        queue.stranded.push((entry, reason));
        queue.offer_again_at.get_or_insert_with(|| Instant::now() + AGAIN);
        self.timers.notify_one();
    }

    /// The queues that a dead letter goes to; none that it would only go round and round through.
    fn dead_letter_targets(&self, vhost: &str, letter: &Message, reason: Reason) -> Vec<QueueId> {
        let Some(vhost) = self.vhosts.get(vhost) else { return Vec::new() };
        let mut targets = Vec::new();
        if letter.exchange().is_empty() {
            targets.extend(vhost.queues.get(letter.routing_key()));
        } else {
            vhost.exchanges.route_dead_letter(letter.exchange(), letter.routing_key(), &mut targets);
        }
        targets.retain(|id| {
            self.queues.get(id).is_some_and(|queue| !death::is_cycle(letter, &queue.name, reason))
        });
        targets
    }

    /// Loads one message that is on disk only.
    pub(super) fn load(&self, id: QueueId, position: u64) -> Option<Arc<Message>> {
        match self.journal.store().load(id, position, 1, 0) {
            Ok(messages) => {
                messages.into_iter().next().filter(|(at, _)| *at == position).map(|(_, message)| message)
            }
            Err(error) => {
                log::error!("event=not_loaded queue={id} position={position} error={error}");
                None
            }
        }
    }

    /// Tries again to bring dead letters to exchanges that led nowhere: those whose time has come, or all.
    pub(super) fn offer_the_stranded(&mut self, now: Option<Instant>) {
        for (id, queue) in &mut self.queues {
            if queue.offer_again_at.is_none_or(|at| now.is_some_and(|now| now < at)) {
                continue;
            }
            queue.offer_again_at = None;
            self.burials.extend(queue.stranded.drain(..).map(|(entry, reason)| (*id, entry, reason)));
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

/// Whether dead letters wait in their queue until the other one can take them.
fn is_at_least_once(queue: &super::queue::Queue) -> bool {
    let strategy = queue.options.arguments.inner().get("x-dead-letter-strategy");
    queue.is_quorum()
        && matches!(strategy, Some(AMQPValue::LongString(text)) if text.as_bytes() == b"at-least-once")
}

/// Refuses what a message says wrongly of its publisher, and headers that RabbitMQ heeds and this broker does not: they must
/// not look as if it did.
fn check(message: &Message) -> Result<(), Refusal> {
    if let Some(user) = message.user_id().filter(|user| user != LOGIN) {
        let text = format!("user_id property set to '{user}' but authenticated user was '{LOGIN}'");
        return Err(Refusal::precondition_failed(text));
    }
    if message.has_other_recipients() {
        return Err(Refusal::not_implemented("the headers CC and BCC mean nothing to the embedded broker"));
    }
    Ok(())
}
