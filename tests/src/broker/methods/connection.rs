//! The connection itself, after its handshake: it only ends.

use amq_protocol::protocol::{AMQPClass, connection};

use super::super::connection::{ConnectionId, Payload};
use super::super::core::{Broker, Step};
use super::super::refusal::Refusal;

impl Broker {
    pub(super) fn connection_method(
        &mut self,
        id: ConnectionId,
        method: connection::AMQPMethod,
    ) -> Result<Step, Refusal> {
        match method {
            connection::AMQPMethod::Close(_) => {
                self.say_goodbye(id);
                Ok(Step::Pause)
            }
            // The secret of a login that never ends.
            connection::AMQPMethod::UpdateSecret(_) => {
                let ok = connection::AMQPMethod::UpdateSecretOk(connection::UpdateSecretOk {});
                self.say(id, 0, AMQPClass::Connection(ok));
                Ok(Step::Next)
            }
            // To an answer that nobody waits for, RabbitMQ says nothing.
            connection::AMQPMethod::CloseOk(_) => Ok(Step::Next),
            _ => Err(Refusal::channel_error("unexpected method in connection state running")),
        }
    }

    /// The connection was told why it is closed: only its answer counts, or that it closes too.
    pub(super) fn await_goodbye(&mut self, id: ConnectionId, payload: &Payload<'_>) {
        match payload {
            Payload::Method(AMQPClass::Connection(connection::AMQPMethod::CloseOk(_))) => {
                self.on_link(id, super::super::connection::Link::end);
            }
            Payload::Method(AMQPClass::Connection(connection::AMQPMethod::Close(_))) => self.say_goodbye(id),
            _ => {}
        }
    }

    fn say_goodbye(&mut self, id: ConnectionId) {
        let close_ok = connection::AMQPMethod::CloseOk(connection::CloseOk {});
        self.say(id, 0, AMQPClass::Connection(close_ok));
        self.on_link(id, super::super::connection::Link::end);
    }
}
