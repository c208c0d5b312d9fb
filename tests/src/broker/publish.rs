//! From a publisher to the queues: routing, limits, confirms, and what becomes of dead letters.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use amq_protocol::protocol::{AMQPClass, basic};
use amq_protocol::types::AMQPValue;
use tokio::task::spawn_local;

use super::arguments::Overflow;
use super::channel::Incoming;
use super::connection::{Connection, ConnectionId, LOGIN, crash};
use super::core::{Broker, Step};
use super::death::{self, Reason};
use super::faults::{Effect, Moment, Occasion};
use super::journal::Pending;
use super::queue::{Content, Entry, Size};
use super::refusal::Refusal;
use super::store::{Change, QueueId};
use super::{BadMessage, Message};

/// How long confirms are collected to change their order.
const REORDER: Duration = Duration::from_millis(500);

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
        let number = self.number_message(id, channel_id);
        match effect {
            Some(Effect::Nack) => {
                self.say_nack(id, channel_id, number);
                return Ok(Step::Next);
            }
            Some(Effect::Return) => {
                self.say_return(id, channel_id, &message);
                self.confirm(id, channel_id, number);
                return Ok(Step::Next);
            }
            _ => {}
        }
        if targets.is_empty() {
            if mandatory {
                self.say_return(id, channel_id, &message);
            }
            self.confirm(id, channel_id, number);
            return Ok(Step::Next);
        }

        let Enqueued { is_stored, is_refused } = self.enqueue(Arc::new(message), &targets);
        if is_refused {
            self.say_nack(id, channel_id, number);
        } else if let Some(number) = number.filter(|_| is_stored) {
            let pending = Pending { connection: id, channel: channel_id, number, exchange, routing_key };
            self.journal.then().confirms.push(pending);
        } else {
            self.confirm(id, channel_id, number);
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

    fn number_message(&mut self, id: ConnectionId, channel: u16) -> Option<u64> {
        let channel = self.connections.get_mut(&id)?.channels.get_mut(&channel)?;
        let confirms = channel.confirms.as_mut()?;
        confirms.last += 1;
        confirms.outstanding.insert(confirms.last);
        Some(confirms.last)
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
            if targets.is_empty() && must_arrive {
                if let Some(queue) = self.queues.get_mut(&id) {
                    queue.stranded.push((entry, reason));
                }
                return;
            }
            self.enqueue(Arc::new(letter), &targets);
        }
        if entry.content.is_stored() {
            self.journal.add(Change::Remove { queue: id, position: entry.position });
        }
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
    fn load(&self, id: QueueId, position: u64) -> Option<Arc<Message>> {
        match self.journal.store().load(id, position, 1) {
            Ok(messages) => {
                messages.into_iter().next().filter(|(at, _)| *at == position).map(|(_, message)| message)
            }
            Err(error) => {
                log::error!("event=not_loaded queue={id} position={position} error={error}");
                None
            }
        }
    }

    /// Tries again to bring dead letters to exchanges that led nowhere.
    pub(super) fn bury_the_stranded(&mut self) {
        for (id, queue) in &mut self.queues {
            self.burials.extend(queue.stranded.drain(..).map(|(entry, reason)| (*id, entry, reason)));
        }
    }

    /// Confirms what is on disk.
    pub(super) fn confirm_written(&mut self, written: Vec<Pending>) {
        if self.rules.is_empty() && !self.is_reordering() {
            for group in written
                .chunk_by(|one, other| (one.connection, one.channel) == (other.connection, other.channel))
            {
                let numbers: Vec<u64> = group.iter().map(|pending| pending.number).collect();
                self.confirm_many(group[0].connection, group[0].channel, &numbers);
            }
            return;
        }
        for Pending { connection, channel, number, exchange, routing_key } in written {
            let occasion = Occasion {
                moment: Moment::PublishStored,
                connection: "",
                queue: "",
                exchange: &exchange,
                routing_key: &routing_key,
                method: "basic.publish",
            };
            match self.meet_with(connection, occasion) {
                Some(Effect::Drop) => self.cut(connection),
                Some(Effect::Crash) => crash(),
                Some(Effect::Hold) => {
                    self.on_link(connection, |link| link.hold(true));
                    self.confirm(connection, channel, Some(number));
                }
                Some(Effect::Silence) => {
                    self.on_link(connection, |link| link.silence(true));
                    self.confirm(connection, channel, Some(number));
                }
                Some(Effect::Delay { ms }) => {
                    self.confirm_later(connection, channel, number, Duration::from_millis(ms))
                }
                Some(Effect::Reorder { count }) => {
                    self.confirm_in_reverse(connection, channel, number, Some(count as usize))
                }
                Some(Effect::Nack) => self.say_nack(connection, channel, Some(number)),
                Some(Effect::CloseChannel { code, text }) => {
                    self.close_channel(connection, channel, (0, 0), &Refusal::ordered(code, text));
                }
                _ => self.confirm_in_reverse(connection, channel, number, None),
            }
        }
    }

    fn is_reordering(&self) -> bool {
        let channels = self.connections.values().flat_map(|connection| connection.channels.values());
        channels.filter_map(|channel| channel.confirms.as_ref()).any(|confirms| confirms.reorder.is_some())
    }

    fn confirm_later(&mut self, id: ConnectionId, channel: u16, number: u64, delay: Duration) {
        let Some(this) = self.this.upgrade() else { return };
        spawn_local(async move {
            tokio::time::sleep(delay).await;
            let mut broker = this.borrow_mut();
            broker.confirm(id, channel, Some(number));
            broker.settle();
        });
    }

    /// Fewer than were asked for are sent as well, when no more come.
    fn confirm_the_collected_later(&self) {
        let Some(this) = self.this.upgrade() else { return };
        spawn_local(async move {
            tokio::time::sleep(REORDER).await;
            let mut broker = this.borrow_mut();
            broker.confirm_the_collected();
            broker.settle();
        });
    }

    /// Collects confirms until there are as many as a tester wants, and sends them with the last one first. Where nobody
    /// wants it, sends this one.
    fn confirm_in_reverse(&mut self, id: ConnectionId, channel_id: u16, number: u64, begin: Option<usize>) {
        let Some(channel) = self.channel_mut(id, channel_id) else { return };
        let Some(confirms) = channel.confirms.as_mut() else { return };
        if let Some(count) = begin
            && confirms.reorder.is_none()
        {
            confirms.reorder = Some((count, Vec::new()));
            self.confirm_the_collected_later();
        }
        let Some(channel) = self.channel_mut(id, channel_id) else { return };
        let Some(confirms) = channel.confirms.as_mut() else { return };
        let Some((count, collected)) = confirms.reorder.as_mut() else {
            return self.confirm(id, channel_id, Some(number));
        };
        collected.push(number);
        if collected.len() >= *count {
            self.confirm_the_collected();
        }
    }

    /// Sends the confirms that were collected to change their order, the last one first.
    pub(super) fn confirm_the_collected(&mut self) {
        let mut collected = Vec::new();
        for (id, connection) in &mut self.connections {
            for (channel_id, channel) in &mut connection.channels {
                let reorder = channel.confirms.as_mut().and_then(|confirms| confirms.reorder.take());
                collected.extend(reorder.map(|(_, numbers)| (*id, *channel_id, numbers)));
            }
        }
        for (id, channel, numbers) in collected {
            numbers.into_iter().rev().for_each(|number| self.confirm(id, channel, Some(number)));
        }
    }

    /// Confirms one message.
    pub(super) fn confirm(&mut self, id: ConnectionId, channel: u16, number: Option<u64>) {
        if let Some(number) = number {
            self.confirm_many(id, channel, &[number]);
        }
    }

    /// Confirms messages of one channel, with as few words as possible: where none before the last of them is without an
    /// answer, one word is enough.
    fn confirm_many(&mut self, id: ConnectionId, channel_id: u16, numbers: &[u64]) {
        let Some(channel) = self.channel_mut(id, channel_id) else { return };
        let Some(confirms) = channel.confirms.as_mut() else { return };
        for number in numbers {
            confirms.outstanding.remove(number);
        }
        let Some(&last) = numbers.iter().max() else { return };
        let all_before = confirms.outstanding.first().is_none_or(|first| *first > last);
        let Some(connection) = self.connections.get(&id) else { return };
        if numbers.len() > 1 && all_before {
            say_ack(connection, channel_id, last, true);
        } else {
            numbers.iter().for_each(|number| say_ack(connection, channel_id, *number, false));
        }
        if !self.rules.is_empty() {
            self.after(Moment::ConfirmSent, id);
        }
    }

    fn say_nack(&mut self, id: ConnectionId, channel_id: u16, number: Option<u64>) {
        let Some(number) = number else { return };
        let Some(channel) = self.channel_mut(id, channel_id) else { return };
        if let Some(confirms) = channel.confirms.as_mut() {
            confirms.outstanding.remove(&number);
        }
        let nack = basic::Nack { delivery_tag: number, multiple: false, requeue: false };
        self.say(id, channel_id, AMQPClass::Basic(basic::AMQPMethod::Nack(nack)));
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

fn say_ack(connection: &Connection, channel: u16, number: u64, multiple: bool) {
    let ack = basic::Ack { delivery_tag: number, multiple };
    connection.say(channel, AMQPClass::Basic(basic::AMQPMethod::Ack(ack)));
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
