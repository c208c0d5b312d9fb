//! What a frame means: one file for each class of AMQP methods.

mod basic;
mod channel;
mod connection;
mod content;
mod exchange;
mod met;
mod name;
mod queue;
pub(super) use queue::REPLY_TO;

use amq_protocol::protocol::{AMQPClass, channel as channel_methods, connection as connection_methods};

use super::channel::Channel;
use super::connection::{BadFrame, ConnectionId, Frame, Payload, short};
use super::core::{Broker, Step, unix_ms};
use super::refusal::{Refusal, Scope};

impl Broker {
    /// Does what a frame says. `is_released` says that a tester's rules have seen it before.
    pub fn receive(&mut self, id: ConnectionId, frame: Frame<'_>, is_released: bool) -> Step {
        self.now_ms = unix_ms();
        let Frame { channel, payload } = frame;
        let is_in_publish = self.channel_mut(id, channel).is_some_and(|channel| channel.incoming.is_some());
        let method = match &payload {
            // Whatever comes now is taken for the content of what is published.
            _ if is_in_publish => (60, 40),
            Payload::Method(class) => (class.get_amqp_class_id(), class.get_amqp_method_id()),
            Payload::UnknownMethod(class, method) => (*class, *method),
            Payload::QosOfBytes(_) => (60, 10),
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
            return match channel {
                0 => Ok(Step::Next),
                _ => Err(Refusal::unexpected_frame("heartbeats go over channel 0")),
            };
        }
        if channel == 0 {
            return match payload {
                Payload::Method(class @ AMQPClass::Connection(_)) => {
                    self.method(id, channel, class, is_released)
                }
                Payload::Method(_) | Payload::UnknownMethod(..) | Payload::QosOfBytes(_) => {
                    Err(Refusal::channel_error("unexpected method in connection state running"))
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
            Payload::Method(_) | Payload::UnknownMethod(..) | Payload::QosOfBytes(_)
                if open.incoming.is_some() =>
            {
                Err(Refusal::unexpected_frame(
                    "expected content header for class 60, got non content header frame instead",
                ))
            }
            Payload::UnknownMethod(class, method) => {
                Err(Refusal::command_invalid(format_args!("there is no method {method} of class {class}")))
            }
            Payload::QosOfBytes(bytes) => {
                Err(Refusal::not_implemented(format_args!("prefetch_size!=0 ({bytes})")))
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
            AMQPClass::Tx(_) => Err(Refusal::not_implemented(
                "the embedded broker has no transactions: use publisher confirms (confirm.select)",
            )),
            AMQPClass::Access(_) => {
                Err(Refusal::not_implemented("the embedded broker has no access tickets: do without one"))
            }
            AMQPClass::Connection(method) if channel == 0 => self.connection_method(id, method),
            AMQPClass::Connection(_) => {
                Err(Refusal::command_invalid("methods of the connection go over channel 0"))
            }
        }
    }

    /// Tells a client why its channel is closed, and closes it. Nothing happens where it is closed already.
    pub(super) fn close_channel(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        (class_id, method_id): (u16, u16),
        refusal: &Refusal,
    ) {
        if self.channel_mut(id, channel_id).is_none_or(|channel| channel.is_closing) {
            return;
        }
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
