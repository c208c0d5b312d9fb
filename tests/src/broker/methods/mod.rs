//! What a frame means: one file for each class of AMQP methods.

mod basic;
mod channel;
mod connection;
mod exchange;
mod queue;

use std::rc::Rc;

use amq_protocol::protocol::{
    AMQPClass, basic as basic_methods, channel as channel_methods, connection as connection_methods,
};

use super::channel::{Channel, Incoming};
use super::connection::{BadFrame, ConnectionId, Frame, Payload, short};
use super::core::{Broker, Step, unix_ms};
use super::effects::NOTHING;
use super::faults::{Effect, Moment, Occasion};
use super::refusal::{Refusal, Scope};

/// So much room is made for a body before any of it has come.
const AT_ONCE: u64 = 128 * 1024;

/// The longest body, as RabbitMQ has it.
const MOST_BODY: u64 = 128 * 1024 * 1024;

impl Broker {
    /// Does what a frame says. `is_released` says that a tester's rules have seen it before.
    pub fn receive(&mut self, id: ConnectionId, frame: Frame<'_>, is_released: bool) -> Step {
        self.now_ms = unix_ms();
        let Frame { channel, payload } = frame;
        let method = match &payload {
            Payload::Method(class) => (class.get_amqp_class_id(), class.get_amqp_method_id()),
            Payload::UnknownMethod(class, method) => (*class, *method),
            _ => (0, 0),
        };
        match self.handle(id, channel, payload, is_released) {
            Ok(step) => step,
            Err(refusal) if refusal.scope == Scope::Channel && channel != 0 => {
                self.close_channel(id, channel, method, &refusal);
                Step::Next
            }
            Err(refusal) => {
                self.close_connection(id, method, &refusal);
                Step::Next
            }
        }
    }

    /// Ends a connection whose bytes cannot be read.
    pub fn refuse_frame(&mut self, id: ConnectionId, bad: BadFrame) -> Step {
        let refusal = match bad {
            BadFrame::Malformed => Refusal::frame_error("these bytes are no frame of AMQP"),
            BadFrame::TooLong => Refusal::frame_error("a frame is longer than was agreed upon"),
            BadFrame::TooDeep => {
                Refusal::syntax_error("tables are nested too deep: at most 64 may be within each other")
            }
            BadFrame::Syntax => {
                Refusal::syntax_error("the fields of a method or of a content header cannot be read")
            }
        };
        self.close_connection(id, (0, 0), &refusal);
        Step::Next
    }

    fn handle(
        &mut self,
        id: ConnectionId,
        channel: u16,
        payload: Payload<'_>,
        is_released: bool,
    ) -> Result<Step, Refusal> {
        let Some(connection) = self.connections.get(&id) else { return Ok(Step::Pause) };
        if connection.is_closing {
            self.await_goodbye(id, &payload);
            return Ok(Step::Next);
        }
        if matches!(payload, Payload::Heartbeat) {
            return Ok(Step::Next);
        }
        if channel == 0 {
            return match payload {
                Payload::Method(class @ AMQPClass::Connection(_)) => {
                    self.method(id, channel, class, is_released)
                }
                Payload::Method(_) | Payload::UnknownMethod(..) => {
                    Err(Refusal::command_invalid("only methods of the connection go over channel 0"))
                }
                _ => Err(Refusal::unexpected_frame("content cannot go over channel 0")),
            };
        }
        let Some(open) = connection.channels.get(&channel) else {
            return self.on_unknown_channel(id, channel, payload, is_released);
        };
        if open.is_closing {
            self.await_channel_goodbye(id, channel, &payload);
            return Ok(Step::Next);
        }
        match payload {
            Payload::Method(_) | Payload::UnknownMethod(..) if open.incoming.is_some() => {
                Err(Refusal::unexpected_frame(
                    "expected content header for class 60, got non content header frame instead",
                ))
            }
            Payload::UnknownMethod(class, method) => {
                Err(Refusal::command_invalid(format_args!("there is no method {method} of class {class}")))
            }
            Payload::Method(class) => self.method(id, channel, class, is_released),
            Payload::Header { class, body_size, properties } => {
                self.content_header(id, channel, class, body_size, properties, is_released)
            }
            Payload::Body(part) => self.content_body(id, channel, part, is_released),
            Payload::Heartbeat => Ok(Step::Next),
        }
    }

    pub(super) fn method(
        &mut self,
        id: ConnectionId,
        channel: u16,
        class: AMQPClass,
        is_released: bool,
    ) -> Result<Step, Refusal> {
        if !is_released
            && !self.rules.is_empty()
            && let Some(step) = self.meet_method(id, channel, &class)
        {
            return Ok(step);
        }
        match class {
            AMQPClass::Basic(method) => self.basic_method(id, channel, method),
            AMQPClass::Channel(method) => self.channel_method(id, channel, method),
            AMQPClass::Exchange(method) => self.exchange_method(id, channel, method),
            AMQPClass::Queue(method) => self.queue_method(id, channel, method),
            AMQPClass::Confirm(method) => self.confirm_method(id, channel, method),
            AMQPClass::Tx(_) => Err(Refusal::not_implemented("transactions: use publisher confirms")),
            AMQPClass::Access(_) => Err(Refusal::not_implemented("access tickets")),
            AMQPClass::Connection(method) if channel == 0 => self.connection_method(id, method),
            AMQPClass::Connection(_) => {
                Err(Refusal::command_invalid("methods of the connection go over channel 0"))
            }
        }
    }

    /// Has the effect of a tester's rule about a method, or about the acknowledgement that it is.
    fn meet_method(&mut self, id: ConnectionId, channel: u16, class: &AMQPClass) -> Option<Step> {
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
    fn interrupt(&mut self, id: ConnectionId, channel: u16, effect: Option<&Effect>) -> Option<Step> {
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

    fn content_header(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        class: u16,
        body_size: u64,
        properties: &[u8],
        is_released: bool,
    ) -> Result<Step, Refusal> {
        let channel = self.channel_mut(id, channel_id).and_then(|channel| channel.incoming.as_mut());
        if class != 60 || channel.is_none_or(|incoming| incoming.head.is_some()) {
            return Err(Refusal::unexpected_frame("expected a method, got a content header instead"));
        }
        if body_size > MOST_BODY {
            return Err(Refusal::precondition_failed(format_args!(
                "message size {body_size} is larger than configured max size {MOST_BODY}"
            )));
        }
        if body_size == 0
            && let Some(step) = self.whole_message(id, channel_id, (properties, b""), is_released)?
            && step != Step::Next
        {
            return Ok(step);
        }
        if let Some(channel) = self.channel_mut(id, channel_id)
            && let Some(incoming) = channel.incoming.as_mut()
        {
            incoming.head = Some((properties.into(), body_size));
            incoming.body.reserve_exact(body_size.min(AT_ONCE) as usize);
        }
        // As RabbitMQ, which stops reading between head and body.
        match self.alarm() {
            None => Ok(Step::Next),
            Some(reason) => {
                self.block_publisher(id, reason);
                Ok(Step::Pause)
            }
        }
    }

    fn content_body(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        part: &[u8],
        is_released: bool,
    ) -> Result<Step, Refusal> {
        let channel = self.channel_mut(id, channel_id).and_then(|channel| channel.incoming.as_ref());
        let Some((Some((_, size)), so_far)) =
            channel.map(|incoming| (incoming.head.as_ref(), incoming.body.len()))
        else {
            return Err(Refusal::unexpected_frame(
                "expected a method or a content header, got a body instead",
            ));
        };
        let (size, so_far) = (*size, (so_far + part.len()) as u64);
        if so_far > size {
            return Err(Refusal::unexpected_frame("the body is longer than its header said"));
        }
        if so_far == size
            && let Some(step) = self.whole_message(id, channel_id, (b"", part), is_released)?
        {
            return Ok(step);
        }
        if let Some(channel) = self.channel_mut(id, channel_id)
            && let Some(incoming) = channel.incoming.as_mut()
        {
            incoming.body.extend_from_slice(part);
        }
        Ok(Step::Next)
    }

    /// Publishes the message whose last frame this is, unless a tester wants something else first.
    fn whole_message(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        (properties, part): (&[u8], &[u8]),
        is_released: bool,
    ) -> Result<Option<Step>, Refusal> {
        let mut effect = None;
        if !is_released && !self.rules.is_empty() {
            let Some(channel) = self.channel_mut(id, channel_id) else { return Ok(None) };
            let Some(incoming) = channel.incoming.as_ref() else { return Ok(None) };
            let (exchange, routing_key) = (incoming.exchange.clone(), incoming.routing_key.clone());
            let (moment, exchange, routing_key) = (Moment::PublishReceived, &exchange, &routing_key);
            effect = self.meet(id, Occasion { moment, exchange, routing_key, ..NOTHING });
            if let Some(step) = self.interrupt(id, channel_id, effect.as_ref()) {
                return Ok(Some(step));
            }
        }
        let Some(channel) = self.channel_mut(id, channel_id) else { return Ok(None) };
        let Some(mut incoming) = channel.incoming.take() else { return Ok(None) };
        incoming.body.extend_from_slice(part);
        incoming.head.get_or_insert_with(|| (properties.into(), 0));
        self.publish(id, channel_id, incoming, effect).map(Some)
    }

    /// Begins a message.
    fn begin_publish(
        &mut self,
        id: ConnectionId,
        channel: u16,
        publish: basic_methods::Publish,
    ) -> Result<Step, Refusal> {
        if publish.immediate {
            return Err(Refusal::not_implemented("immediate=true"));
        }
        if let Some(channel) = self.channel_mut(id, channel) {
            channel.incoming = Some(Incoming {
                exchange: publish.exchange.as_str().into(),
                routing_key: publish.routing_key.as_str().into(),
                mandatory: publish.mandatory,
                head: None,
                body: Vec::new(),
            });
        }
        Ok(Step::Next)
    }

    /// Tells a client why its channel is closed, and closes it.
    pub(super) fn close_channel(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        (class_id, method_id): (u16, u16),
        refusal: &Refusal,
    ) {
        self.leave_channel(id, channel_id);
        let Some(connection) = self.connections.get_mut(&id) else { return };
        connection.channels.insert(channel_id, Channel { is_closing: true, ..Channel::default() });
        log::info!(
            "event=channel_closed name={:?} code={} text={:?}",
            connection.name,
            refusal.code,
            refusal.text
        );
        let close = channel_methods::Close {
            reply_code: refusal.code,
            reply_text: short(&refusal.text),
            class_id,
            method_id,
        };
        connection.say(channel_id, AMQPClass::Channel(channel_methods::AMQPMethod::Close(close)));
    }

    /// Tells a client why its connection is closed, and waits for its answer.
    pub(super) fn close_connection(
        &mut self,
        id: ConnectionId,
        (class_id, method_id): (u16, u16),
        refusal: &Refusal,
    ) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if std::mem::replace(&mut connection.is_closing, true) {
            return;
        }
        let channels: Vec<u16> = connection.channels.keys().copied().collect();
        log::info!(
            "event=connection_closed name={:?} code={} text={:?}",
            connection.name,
            refusal.code,
            refusal.text
        );
        let close = connection_methods::Close {
            reply_code: refusal.code,
            reply_text: short(&refusal.text),
            class_id,
            method_id,
        };
        connection.say(0, AMQPClass::Connection(connection_methods::AMQPMethod::Close(close)));
        channels.into_iter().for_each(|channel| self.leave_channel(id, channel));
    }

    pub(super) fn channel_mut(&mut self, id: ConnectionId, channel: u16) -> Option<&mut Channel> {
        self.connections.get_mut(&id)?.channels.get_mut(&channel)
    }

    pub(super) fn say(&self, id: ConnectionId, channel: u16, method: AMQPClass) {
        if let Some(connection) = self.connections.get(&id) {
            connection.say(channel, method);
        }
    }

    /// Says it once all that was changed so far is on disk.
    pub(super) fn say_once_written(
        &mut self,
        id: ConnectionId,
        channel: u16,
        method: Option<AMQPClass>,
    ) -> Step {
        if self.journal.is_idle() {
            if let Some(method) = method {
                self.say(id, channel, method);
            }
            return Step::Next;
        }
        let number = self.journal.last_number();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.deferred = method.map(|method| (channel, method));
        }
        Step::Commit(number)
    }
}

/// How the specification writes a method.
fn name_of(class: &AMQPClass) -> &'static str {
    use amq_protocol::protocol::{basic, channel, confirm, exchange, queue};
    match class {
        AMQPClass::Basic(method) => match method {
            basic::AMQPMethod::Publish(_) => "basic.publish",
            basic::AMQPMethod::Ack(_) => "basic.ack",
            basic::AMQPMethod::Nack(_) => "basic.nack",
            basic::AMQPMethod::Reject(_) => "basic.reject",
            basic::AMQPMethod::Consume(_) => "basic.consume",
            basic::AMQPMethod::Cancel(_) => "basic.cancel",
            basic::AMQPMethod::CancelOk(_) => "basic.cancel-ok",
            basic::AMQPMethod::Get(_) => "basic.get",
            basic::AMQPMethod::Qos(_) => "basic.qos",
            basic::AMQPMethod::Recover(_) | basic::AMQPMethod::RecoverAsync(_) => "basic.recover",
            _ => "basic",
        },
        AMQPClass::Channel(method) => match method {
            channel::AMQPMethod::Open(_) => "channel.open",
            channel::AMQPMethod::Close(_) => "channel.close",
            channel::AMQPMethod::CloseOk(_) => "channel.close-ok",
            channel::AMQPMethod::Flow(_) => "channel.flow",
            _ => "channel",
        },
        AMQPClass::Exchange(method) => match method {
            exchange::AMQPMethod::Declare(_) => "exchange.declare",
            exchange::AMQPMethod::Delete(_) => "exchange.delete",
            exchange::AMQPMethod::Bind(_) => "exchange.bind",
            exchange::AMQPMethod::Unbind(_) => "exchange.unbind",
            _ => "exchange",
        },
        AMQPClass::Queue(method) => match method {
            queue::AMQPMethod::Declare(_) => "queue.declare",
            queue::AMQPMethod::Bind(_) => "queue.bind",
            queue::AMQPMethod::Unbind(_) => "queue.unbind",
            queue::AMQPMethod::Purge(_) => "queue.purge",
            queue::AMQPMethod::Delete(_) => "queue.delete",
            _ => "queue",
        },
        AMQPClass::Confirm(method) => match method {
            confirm::AMQPMethod::Select(_) => "confirm.select",
            _ => "confirm",
        },
        AMQPClass::Tx(_) => "tx",
        AMQPClass::Access(_) => "access",
        AMQPClass::Connection(method) => match method {
            connection_methods::AMQPMethod::Close(_) => "connection.close",
            connection_methods::AMQPMethod::CloseOk(_) => "connection.close-ok",
            _ => "connection",
        },
    }
}
