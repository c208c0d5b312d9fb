//! Channels: opened, closed by either side, and with confirms.

use amq_protocol::protocol::{AMQPClass, channel, confirm};

use super::super::channel::{Channel, Confirms};
use super::super::connection::{ConnectionId, Payload};
use super::super::core::{Broker, Step};
use super::super::refusal::Refusal;

impl Broker {
    pub(super) fn channel_method(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        method: channel::AMQPMethod,
    ) -> Result<Step, Refusal> {
        match method {
            channel::AMQPMethod::Open(_) => self.open_channel(id, channel_id),
            channel::AMQPMethod::Close(_) => {
                self.leave_channel(id, channel_id);
                self.say_channel(id, channel_id, channel::AMQPMethod::CloseOk(channel::CloseOk {}));
                Ok(Step::Next)
            }
            channel::AMQPMethod::Flow(channel::Flow { active: true }) => {
                self.say_channel(
                    id,
                    channel_id,
                    channel::AMQPMethod::FlowOk(channel::FlowOk { active: true }),
                );
                Ok(Step::Next)
            }
            channel::AMQPMethod::Flow(_) => Err(Refusal::not_implemented("active=false")),
            channel::AMQPMethod::CloseOk(_) | channel::AMQPMethod::FlowOk(_) => Ok(Step::Next),
            _ => Err(Refusal::command_invalid("a client does not send this method")),
        }
    }

    pub(super) fn confirm_method(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        method: confirm::AMQPMethod,
    ) -> Result<Step, Refusal> {
        let confirm::AMQPMethod::Select(confirm::Select { nowait }) = method else {
            return Err(Refusal::command_invalid("a client does not send this method"));
        };
        if let Some(channel) = self.channel_mut(id, channel_id) {
            channel.confirms.get_or_insert_with(Confirms::default);
        }
        if !nowait {
            let select_ok = confirm::AMQPMethod::SelectOk(confirm::SelectOk {});
            self.say(id, channel_id, AMQPClass::Confirm(select_ok));
        }
        Ok(Step::Next)
    }

    fn open_channel(&mut self, id: ConnectionId, channel_id: u16) -> Result<Step, Refusal> {
        let opened = self.number();
        let Some(connection) = self.connections.get_mut(&id) else { return Ok(Step::Pause) };
        if connection.channels.contains_key(&channel_id) {
            return Err(Refusal::channel_error("second 'channel.open' seen"));
        }
        if channel_id > connection.channel_max {
            return Err(Refusal::not_allowed(format_args!(
                "number of channels opened ({channel_id}) has reached the negotiated channel_max ({})",
                connection.channel_max
            )));
        }
        connection.channels.insert(channel_id, Channel { opened, ..Channel::default() });
        self.say_channel(id, channel_id, channel::AMQPMethod::OpenOk(channel::OpenOk {}));
        Ok(Step::Next)
    }

    /// What comes over a channel that is not open: it is opened, or it is a mistake.
    pub(super) fn on_unknown_channel(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        payload: Payload<'_>,
        is_released: bool,
    ) -> Result<Step, Refusal> {
        match payload {
            Payload::Method(class @ AMQPClass::Channel(channel::AMQPMethod::Open(_))) => {
                self.method(id, channel_id, class, is_released)
            }
            Payload::Method(AMQPClass::Channel(channel::AMQPMethod::CloseOk(_))) => Ok(Step::Next),
            _ => Err(Refusal::channel_error("expected 'channel.open'")),
        }
    }

    /// The channel was told why it is closed: only its answer counts, or that it closes too.
    pub(super) fn await_channel_goodbye(&mut self, id: ConnectionId, channel_id: u16, payload: &Payload<'_>) {
        let Payload::Method(AMQPClass::Channel(method)) = payload else { return };
        match method {
            channel::AMQPMethod::CloseOk(_) => self.forget_channel(id, channel_id),
            // Both closed at once: the other answer is still to come.
            channel::AMQPMethod::Close(_) => {
                self.say_channel(id, channel_id, channel::AMQPMethod::CloseOk(channel::CloseOk {}));
            }
            _ => {}
        }
    }

    fn forget_channel(&mut self, id: ConnectionId, channel_id: u16) {
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.channels.remove(&channel_id);
        }
    }

    fn say_channel(&self, id: ConnectionId, channel_id: u16, method: channel::AMQPMethod) {
        self.say(id, channel_id, AMQPClass::Channel(method));
    }
}
