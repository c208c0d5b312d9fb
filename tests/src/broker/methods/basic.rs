//! Consuming, acknowledging and getting; what is published comes in as content.

use std::rc::Rc;

use super::super::acknowledge::Verdict;
use super::super::arguments::{QueueKind, check_consumer};
use super::super::channel::Consumer;
use super::super::connection::{ConnectionId, short};
use super::super::core::{Broker, Step};
use super::super::dispatch::say_content;
use super::super::queue::Subscriber;
use super::super::refusal::Refusal;
use super::super::store::QueueId;
use amq_protocol::protocol::{AMQPClass, basic};

impl Broker {
    pub(super) fn basic_method(
        &mut self,
        id: ConnectionId,
        channel: u16,
        method: basic::AMQPMethod,
    ) -> Result<Step, Refusal> {
        match method {
            basic::AMQPMethod::Publish(publish) => return self.begin_publish(id, channel, publish),
            basic::AMQPMethod::Ack(basic::Ack { delivery_tag, multiple }) => {
                self.acknowledge(id, channel, (delivery_tag, multiple), Verdict::Done)?;
            }
            basic::AMQPMethod::Nack(basic::Nack { delivery_tag, multiple, requeue }) => {
                self.acknowledge(id, channel, (delivery_tag, multiple), refused(requeue))?;
            }
            basic::AMQPMethod::Reject(basic::Reject { delivery_tag, requeue }) => {
                self.acknowledge(id, channel, (delivery_tag, false), refused(requeue))?;
            }
            basic::AMQPMethod::Qos(qos) => self.qos(id, channel, &qos)?,
            basic::AMQPMethod::Consume(consume) => self.consume(id, channel, &consume)?,
            basic::AMQPMethod::Cancel(cancel) => self.cancel_by_client(id, channel, &cancel),
            basic::AMQPMethod::Get(get) => self.get(id, channel, &get)?,
            basic::AMQPMethod::Recover(basic::Recover { requeue }) => {
                self.recover(id, channel, requeue)?;
                self.say_basic(id, channel, basic::AMQPMethod::RecoverOk(basic::RecoverOk {}));
            }
            basic::AMQPMethod::RecoverAsync(basic::RecoverAsync { requeue }) => {
                self.recover(id, channel, requeue)?
            }
            // The answer to the broker's own cancel, from those who answer it.
            basic::AMQPMethod::CancelOk(_) => {}
            _ => return Err(Refusal::command_invalid("a client does not send this method")),
        }
        Ok(Step::Next)
    }

    fn qos(&mut self, id: ConnectionId, channel_id: u16, qos: &basic::Qos) -> Result<(), Refusal> {
        let Some(channel) = self.channel_mut(id, channel_id) else { return Ok(()) };
        // As RabbitMQ has it: "global" is for all consumers of the channel together, else it is for each that comes later.
        if qos.global {
            channel.shared_prefetch = qos.prefetch_count;
            let queues: Vec<QueueId> = channel.consumers.values().map(|consumer| consumer.queue).collect();
            queues.into_iter().for_each(|queue| self.touch(queue));
        } else {
            channel.prefetch = qos.prefetch_count;
        }
        self.say_basic(id, channel_id, basic::AMQPMethod::QosOk(basic::QosOk {}));
        Ok(())
    }

    fn consume(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        consume: &basic::Consume,
    ) -> Result<(), Refusal> {
        let Some(channel) = self.channel_mut(id, channel_id) else { return Ok(()) };
        channel.named += 1;
        let tag: Rc<str> = match consume.consumer_tag.as_str() {
            "" => format!("amq.ctag-{id}-{channel_id}-{}", channel.named).into(),
            tag => tag.into(),
        };
        // RabbitMQ looks for the queue after this.
        if channel.consumers.contains_key(&tag) {
            return Err(Refusal::consumer_tag_in_use(&tag));
        }
        let (prefetch, has_shared_prefetch) = (channel.prefetch, channel.shared_prefetch > 0);
        let queue_id = self.queue_named(id, channel_id, consume.queue.as_str())?;
        let Some(queue) = self.queues.get_mut(&queue_id) else { return Ok(()) };
        check_consumer(&queue.name, &queue.vhost, queue.options.kind, &consume.arguments)?;
        let is_quorum = queue.options.kind == QueueKind::Quorum;
        if has_shared_prefetch && is_quorum {
            return Err(Refusal::no_global_qos(&queue.name, &queue.vhost));
        }
        // As in RabbitMQ, a quorum queue takes the word and does not heed it.
        let is_exclusive = consume.exclusive && !is_quorum;
        let is_taken = queue.exclusive_subscriber.is_some() || is_exclusive && !queue.subscribers.is_empty();
        if is_taken {
            return Err(Refusal::exclusive_use(&queue.name, &queue.vhost));
        }

        let subscriber = Subscriber { connection: id, channel: channel_id, tag: tag.clone() };
        queue.exclusive_subscriber = is_exclusive.then(|| subscriber.clone());
        queue.subscribers.push_back(subscriber);
        queue.had_subscriber = true;
        if let Some(channel) = self.channel_mut(id, channel_id) {
            let consumer = Consumer { queue: queue_id, no_ack: consume.no_ack, prefetch, unacked: 0 };
            channel.consumers.insert(tag.clone(), consumer);
        }
        if !consume.nowait {
            let consume_ok = basic::ConsumeOk { consumer_tag: short(&tag) };
            self.say_basic(id, channel_id, basic::AMQPMethod::ConsumeOk(consume_ok));
        }
        self.touch(queue_id);
        Ok(())
    }

    fn cancel_by_client(&mut self, id: ConnectionId, channel_id: u16, cancel: &basic::Cancel) {
        let tag = cancel.consumer_tag.as_str();
        let Some(channel) = self.channel_mut(id, channel_id) else { return };
        if let Some(consumer) = channel.consumers.remove(tag) {
            self.unsubscribe(consumer.queue, id, channel_id, &tag.into());
        }
        if !cancel.nowait {
            let cancel_ok = basic::CancelOk { consumer_tag: cancel.consumer_tag.clone() };
            self.say_basic(id, channel_id, basic::AMQPMethod::CancelOk(cancel_ok));
        }
    }

    /// Takes a consumer from its queue, which goes with its last one where it was declared so.
    pub(in super::super) fn unsubscribe(
        &mut self,
        queue_id: QueueId,
        id: ConnectionId,
        channel: u16,
        tag: &Rc<str>,
    ) {
        let Some(queue) = self.queues.get_mut(&queue_id) else { return };
        queue.unsubscribe(&Subscriber { connection: id, channel, tag: tag.clone() });
        self.timers.notify_one();
        if let Some(channel) = self.channel_mut(id, channel) {
            channel.take_late_of(tag).iter().for_each(|late| self.give_back(late));
        }
        self.delete_if_abandoned(queue_id);
    }

    fn get(&mut self, id: ConnectionId, channel_id: u16, get: &basic::Get) -> Result<(), Refusal> {
        let queue_id = self.queue_named(id, channel_id, get.queue.as_str())?;
        if let Some(queue) = self.queues.get_mut(&queue_id) {
            queue.used_at = tokio::time::Instant::now();
        }
        let Some((entry, message)) = self.get_head(queue_id, get.no_ack) else {
            self.say_basic(id, channel_id, basic::AMQPMethod::GetEmpty(basic::GetEmpty {}));
            return Ok(());
        };
        let Some(channel) = self.channel_mut(id, channel_id) else { return Ok(()) };
        let delivery_tag = channel.deliver(queue_id, entry.position, None, get.no_ack);
        let Some(queue) = self.queues.get(&queue_id) else { return Ok(()) };
        let get_ok = basic::GetOk {
            delivery_tag,
            redelivered: entry.is_redelivered,
            exchange: message.exchange().into(),
            routing_key: message.routing_key().into(),
            message_count: u32::try_from(queue.backlog.len()).unwrap_or(u32::MAX),
        };
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        let method = AMQPClass::Basic(basic::AMQPMethod::GetOk(get_ok));
        say_content(connection, channel_id, method, &message, queue, &entry);
        Ok(())
    }

    /// Puts back all that the channel has not acknowledged.
    fn recover(&mut self, id: ConnectionId, channel_id: u16, requeue: bool) -> Result<(), Refusal> {
        if !requeue {
            return Err(Refusal::not_implemented("requeue=false"));
        }
        self.acknowledge(id, channel_id, (0, true), Verdict::Requeue)
    }

    fn say_basic(&self, id: ConnectionId, channel: u16, method: basic::AMQPMethod) {
        self.say(id, channel, AMQPClass::Basic(method));
    }
}

fn refused(requeue: bool) -> Verdict {
    if requeue { Verdict::Requeue } else { Verdict::Refuse }
}
