//! Exchanges: declared and deleted.

use amq_protocol::protocol::{AMQPClass, exchange};

use super::super::connection::ConnectionId;
use super::super::core::{Broker, Step};
use super::super::exchange::Declared;
use super::super::refusal::Refusal;

impl Broker {
    pub(super) fn exchange_method(
        &mut self,
        id: ConnectionId,
        channel: u16,
        method: exchange::AMQPMethod,
    ) -> Result<Step, Refusal> {
        let (nowait, answer) = match method {
            exchange::AMQPMethod::Declare(declare) => {
                self.declare_exchange(id, &declare)?;
                (declare.nowait, exchange::AMQPMethod::DeclareOk(exchange::DeclareOk {}))
            }
            exchange::AMQPMethod::Delete(delete) => {
                self.delete_exchange(id, &delete)?;
                (delete.nowait, exchange::AMQPMethod::DeleteOk(exchange::DeleteOk {}))
            }
            exchange::AMQPMethod::Bind(_) | exchange::AMQPMethod::Unbind(_) => {
                return Err(Refusal::not_implemented(
                    "the embedded broker has no bindings between exchanges: bind queues",
                ));
            }
            _ => return Err(Refusal::command_invalid("a client does not send this method")),
        };
        let answer = (!nowait).then_some(AMQPClass::Exchange(answer));
        Ok(self.say_once_written(id, channel, answer))
    }

    fn declare_exchange(&mut self, id: ConnectionId, declare: &exchange::Declare) -> Result<(), Refusal> {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let vhost_name = connection.vhost.clone();
        let Some(vhost) = self.vhosts.get_mut(&vhost_name) else { return Ok(()) };
        let name = declare.exchange.as_str();
        if declare.passive {
            return vhost.exchanges.passive(name).map(drop);
        }
        if vhost.exchanges.declare(name, declare.into())? == Declared::New && declare.durable {
            let options = vhost.exchanges.passive(name)?.clone();
            self.define_exchange(&vhost_name, name, &options);
        }
        Ok(())
    }

    fn delete_exchange(&mut self, id: ConnectionId, delete: &exchange::Delete) -> Result<(), Refusal> {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let vhost_name = connection.vhost.clone();
        let Some(vhost) = self.vhosts.get_mut(&vhost_name) else { return Ok(()) };
        let name = delete.exchange.as_str();
        let Some(bindings) = vhost.exchanges.delete(name, delete.if_unused)? else { return Ok(()) };
        self.undefine_exchange(&vhost_name, name);
        for binding in bindings {
            if let Some(queue) = self.queues.get(&binding.queue).map(|queue| queue.name.clone()) {
                self.undefine_binding(&vhost_name, &queue, binding);
            }
        }
        Ok(())
    }
}
