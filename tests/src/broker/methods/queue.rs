//! Queues: declared, bound, purged and deleted.

use std::rc::Rc;

use amq_protocol::protocol::{AMQPClass, queue};
use tokio::time::Instant;
use uuid::Uuid;

use super::super::arguments::{QueueKind, QueueOptions};
use super::super::connection::ConnectionId;
use super::super::core::{Broker, Step};
use super::super::exchange::{Binding, Unbound};
use super::super::queue::Queue;
use super::super::refusal::Refusal;
use super::super::store::{Change, QueueId};

/// The queue over which RabbitMQ answers without there being one.
pub(in super::super) const REPLY_TO: &str = "amq.rabbitmq.reply-to";

impl Broker {
    pub(super) fn queue_method(
        &mut self,
        id: ConnectionId,
        channel: u16,
        method: queue::AMQPMethod,
    ) -> Result<Step, Refusal> {
        let (nowait, answer) = match method {
            queue::AMQPMethod::Declare(declare) => {
                let answer = self.declare_queue(id, channel, &declare)?;
                (declare.nowait, queue::AMQPMethod::DeclareOk(answer))
            }
            queue::AMQPMethod::Bind(bind) => {
                self.bind_queue(id, channel, &bind)?;
                (bind.nowait, queue::AMQPMethod::BindOk(queue::BindOk {}))
            }
            queue::AMQPMethod::Unbind(unbind) => {
                self.unbind_queue(id, channel, &unbind)?;
                (false, queue::AMQPMethod::UnbindOk(queue::UnbindOk {}))
            }
            queue::AMQPMethod::Purge(purge) => {
                let message_count = self.purge_queue(id, channel, purge.queue.as_str())?;
                (purge.nowait, queue::AMQPMethod::PurgeOk(queue::PurgeOk { message_count }))
            }
            queue::AMQPMethod::Delete(delete) => {
                let message_count = self.delete_by_client(id, channel, &delete)?;
                (delete.nowait, queue::AMQPMethod::DeleteOk(queue::DeleteOk { message_count }))
            }
            _ => return Err(Refusal::command_invalid("a client does not send this method")),
        };
        let answer = (!nowait).then_some(AMQPClass::Queue(answer));
        Ok(self.say_once_written(id, channel, answer))
    }

    fn declare_queue(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        declare: &queue::Declare,
    ) -> Result<queue::DeclareOk, Refusal> {
        let Some(connection) = self.connections.get(&id) else { return Err(Refusal::not_allowed("gone")) };
        let vhost = connection.vhost.clone();
        let name: Rc<str> = match declare.queue.as_str() {
            "" if declare.passive => self.last_queue(id, channel_id)?,
            "" => format!("amq.gen-{}", Uuid::now_v7().simple()).into(),
            REPLY_TO => return Err(Refusal::no_direct_reply_to()),
            name => name.into(),
        };
        let found = self.vhosts.get(&vhost).and_then(|vhost| vhost.queues.get(&name)).copied();
        let queue_id = match found {
            Some(queue_id) => {
                self.check_declared(queue_id, id, declare)?;
                queue_id
            }
            None if declare.passive => return Err(Refusal::not_found("queue", &name, &vhost)),
            None => self.create_queue(id, &vhost, &name, declare)?,
        };

        if let Some(channel) = self.channel_mut(id, channel_id) {
            channel.last_queue = Some(name.clone());
        }
        let Some(queue) = self.queues.get_mut(&queue_id) else {
            return Err(Refusal::not_found("queue", &name, &vhost));
        };
        queue.used_at = Instant::now();
        Ok(queue::DeclareOk {
            queue: super::short(&name),
            message_count: u32::try_from(queue.backlog.len()).unwrap_or(u32::MAX),
            consumer_count: u32::try_from(queue.subscribers.len()).unwrap_or(u32::MAX),
        })
    }

    /// A queue that is there already must be the client's to use, and what it takes it for.
    fn check_declared(
        &self,
        queue_id: QueueId,
        id: ConnectionId,
        declare: &queue::Declare,
    ) -> Result<(), Refusal> {
        let Some(queue) = self.queues.get(&queue_id) else { return Ok(()) };
        check_owner(queue, id)?;
        if declare.passive {
            return Ok(());
        }
        queue.options.check_redeclared(&queue.name, &queue.vhost, declare.into())
    }

    fn create_queue(
        &mut self,
        id: ConnectionId,
        vhost_name: &Rc<str>,
        name: &Rc<str>,
        declare: &queue::Declare,
    ) -> Result<QueueId, Refusal> {
        if declare.queue.as_str().starts_with("amq.") {
            return Err(Refusal::reserved_name("queue", name));
        }
        let options = QueueOptions::parse(name, vhost_name, declare.into())?;
        if options.kind == QueueKind::Quorum && declare.queue.as_str().is_empty() {
            return Err(Refusal::nameless_quorum());
        }
        let queue_id = self.next_queue;
        self.next_queue += 1;
        let mut queue = Queue::new(queue_id, vhost_name.clone(), name.clone(), options);
        if queue.options.exclusive {
            queue.owner = Some(id);
            if let Some(connection) = self.connections.get_mut(&id) {
                connection.queues.push(queue_id);
            }
        }
        if queue.is_durable() {
            self.define_queue(&queue);
        }
        if let Some(vhost) = self.vhosts.get_mut(vhost_name) {
            vhost.queues.insert(name.clone(), queue_id);
        }
        if queue.options.expires.is_some() {
            self.timers.notify_one();
        }
        self.queues.insert(queue_id, queue);
        Ok(queue_id)
    }

    fn bind_queue(&mut self, id: ConnectionId, channel: u16, bind: &queue::Bind) -> Result<(), Refusal> {
        // RabbitMQ looks for the exchange first.
        let vhost = self.connections.get(&id).and_then(|connection| self.vhosts.get(&connection.vhost));
        vhost.map_or(Ok(()), |vhost| vhost.exchanges.passive(bind.exchange.as_str()).map(drop))?;
        let (queue_id, routing_key) = self.queue_and_key(id, channel, &bind.queue, &bind.routing_key)?;
        let Some(queue) = self.queues.get(&queue_id) else { return Ok(()) };
        let (vhost_name, queue_name, is_durable) =
            (queue.vhost.clone(), queue.name.clone(), queue.is_durable());
        let Some(vhost) = self.vhosts.get_mut(&vhost_name) else { return Ok(()) };
        let binding = Binding {
            exchange: bind.exchange.to_string(),
            queue: queue_id,
            routing_key,
            arguments: bind.arguments.clone(),
        };
        let Binding { exchange, routing_key, arguments, .. } = &binding;
        let is_new = vhost.exchanges.bind(exchange, queue_id, routing_key, arguments)?;
        if is_new && is_durable && vhost.exchanges.passive(exchange)?.durable {
            self.define_binding(&vhost_name, &queue_name, binding);
        }
        self.offer_the_stranded(None);
        Ok(())
    }

    fn unbind_queue(
        &mut self,
        id: ConnectionId,
        channel: u16,
        unbind: &queue::Unbind,
    ) -> Result<(), Refusal> {
        if unbind.exchange.as_str().is_empty() {
            return Err(Refusal::default_exchange());
        }
        let (queue_id, routing_key) =
            match self.queue_and_key(id, channel, &unbind.queue, &unbind.routing_key) {
                // What is not there is bound to nothing.
                Err(refusal) if refusal.code == 404 && !unbind.queue.as_str().is_empty() => return Ok(()),
                found => found?,
            };
        let Some(queue) = self.queues.get(&queue_id) else { return Ok(()) };
        let (vhost_name, queue_name) = (queue.vhost.clone(), queue.name.clone());
        let Some(vhost) = self.vhosts.get_mut(&vhost_name) else { return Ok(()) };
        let exchange = unbind.exchange.to_string();
        let unbound = vhost.exchanges.unbind(&exchange, queue_id, &routing_key, &unbind.arguments)?;
        if unbound == Unbound::Nothing {
            return Ok(());
        }
        if unbound == Unbound::BindingAndExchange {
            self.undefine_exchange(&vhost_name, &exchange);
        }
        let arguments = unbind.arguments.clone();
        let binding = Binding { exchange, queue: queue_id, routing_key, arguments };
        self.undefine_binding(&vhost_name, &queue_name, binding);
        Ok(())
    }

    /// A client that names neither queue nor key means the queue that it declared last, under its own name.
    fn queue_and_key(
        &self,
        id: ConnectionId,
        channel: u16,
        queue: &amq_protocol::types::ShortString,
        routing_key: &amq_protocol::types::ShortString,
    ) -> Result<(QueueId, String), Refusal> {
        let queue_id = self.queue_named(id, channel, queue.as_str())?;
        let routing_key = match (queue.as_str(), routing_key.as_str()) {
            ("", "") => self.last_queue(id, channel)?.to_string(),
            (_, routing_key) => routing_key.to_owned(),
        };
        Ok((queue_id, routing_key))
    }

    fn purge_queue(&mut self, id: ConnectionId, channel: u16, name: &str) -> Result<u32, Refusal> {
        let queue_id = self.queue_named(id, channel, name)?;
        let Some(queue) = self.queues.get_mut(&queue_id) else { return Ok(0) };
        let purged = queue.backlog.drain();
        for entry in purged.iter().filter(|entry| entry.content.is_stored()) {
            self.journal.add(Change::Remove { queue: queue_id, position: entry.position });
        }
        Ok(u32::try_from(purged.len()).unwrap_or(u32::MAX))
    }

    fn delete_by_client(
        &mut self,
        id: ConnectionId,
        channel: u16,
        delete: &queue::Delete,
    ) -> Result<u32, Refusal> {
        let Some(connection) = self.connections.get(&id) else { return Ok(0) };
        let vhost = connection.vhost.clone();
        let name = match delete.queue.as_str() {
            "" => self.last_queue(id, channel)?,
            name => name.into(),
        };
        // What is not there is as good as deleted.
        let found = self.vhosts.get(&vhost).and_then(|vhost| vhost.queues.get(&name)).copied();
        let Some(queue) = found.and_then(|queue_id| self.queues.get(&queue_id)) else { return Ok(0) };
        check_owner(queue, id)?;
        if queue.options.kind == QueueKind::Quorum {
            let conditions = [(delete.if_unused, "if-unused"), (delete.if_empty, "if-empty")];
            if let Some((_, condition)) = conditions.into_iter().find(|(is_asked, _)| *is_asked) {
                return Err(Refusal::no_conditional_delete(&name, &vhost, condition));
            }
        }
        let (queue_id, messages) = (queue.id, queue.backlog.len());
        if delete.if_unused && !queue.subscribers.is_empty() {
            return Err(Refusal::in_use("queue", &name, &vhost));
        }
        if delete.if_empty && messages > 0 {
            return Err(Refusal::not_empty(&name, &vhost));
        }
        self.delete_queue(queue_id);
        Ok(u32::try_from(messages).unwrap_or(u32::MAX))
    }

    /// Removes a queue with all that is in it and leads to it, and tells its consumers.
    pub(in super::super) fn delete_queue(&mut self, queue_id: QueueId) {
        // What died in it before goes where its dead letters go.
        self.bury_all();
        let Some(queue) = self.queues.remove(&queue_id) else { return };
        if let Some(connection) = queue.owner.and_then(|owner| self.connections.get_mut(&owner)) {
            connection.queues.retain(|other| *other != queue_id);
        }
        queue.subscribers.iter().for_each(|subscriber| self.cancel(subscriber));
        if let Some(vhost) = self.vhosts.get_mut(&queue.vhost) {
            vhost.queues.remove(&queue.name);
            let bindings = vhost.exchanges.bindings_to(queue_id);
            let gone = vhost.exchanges.forget_queue(queue_id);
            for binding in bindings {
                self.undefine_binding(&queue.vhost, &queue.name, binding);
            }
            gone.into_iter().for_each(|exchange| self.undefine_exchange(&queue.vhost, &exchange));
        }
        if queue.is_durable() {
            self.undefine_queue(&queue.vhost, &queue.name);
            self.journal.add(Change::Forget { queue: queue_id });
        }
    }

    /// Removes a queue that was declared to go with its last consumer, when it is gone.
    pub(in super::super) fn delete_if_abandoned(&mut self, queue_id: QueueId) {
        let Some(queue) = self.queues.get(&queue_id) else { return };
        if queue.options.auto_delete && queue.had_subscriber && queue.subscribers.is_empty() {
            self.delete_queue(queue_id);
        }
    }

    /// The queue that a client names, or means where it names none.
    pub(super) fn queue_named(&self, id: ConnectionId, channel: u16, name: &str) -> Result<QueueId, Refusal> {
        let Some(connection) = self.connections.get(&id) else { return Err(Refusal::not_allowed("gone")) };
        let vhost = &connection.vhost;
        let name = match name {
            "" => self.last_queue(id, channel)?,
            REPLY_TO => return Err(Refusal::no_direct_reply_to()),
            name => name.into(),
        };
        let found = self.vhosts.get(vhost).and_then(|vhost| vhost.queues.get(&name)).copied();
        let queue = found.and_then(|queue_id| self.queues.get(&queue_id));
        let queue = queue.ok_or_else(|| Refusal::not_found("queue", &name, vhost))?;
        check_owner(queue, id)?;
        Ok(queue.id)
    }

    fn last_queue(&self, id: ConnectionId, channel: u16) -> Result<Rc<str>, Refusal> {
        let channel = self.connections.get(&id).and_then(|connection| connection.channels.get(&channel));
        let last = channel.and_then(|channel| channel.last_queue.clone());
        last.ok_or_else(Refusal::no_previous_queue)
    }
}

/// An exclusive queue is its connection's alone.
fn check_owner(queue: &Queue, id: ConnectionId) -> Result<(), Refusal> {
    match queue.owner {
        Some(owner) if owner != id => Err(Refusal::resource_locked(&queue.name, &queue.vhost)),
        _ => Ok(()),
    }
}
