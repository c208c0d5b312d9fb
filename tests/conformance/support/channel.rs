//! A channel: one function for each method, and one to wait for each thing that comes unasked.

use std::fmt::Debug;
use std::time::Duration;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, basic, channel, confirm, exchange, queue};
use amq_protocol::types::FieldTable;
use warren::harness::{eventually, eventually_equal};

use super::{Answer, Closed, Connection, Delivery, Event, Exchange, Message, Queue};

/// What is on its way is there by then.
const PATIENCE: Duration = Duration::from_secs(10);

const BASIC: u16 = 60;

/// The channel that publishes what a story wants to find in a queue.
const PUBLISHER: u16 = 1000;

/// Kind, channel and size, and the byte at the end.
const FRAME_AROUND: usize = 8;

/// An open channel of a connection.
pub struct Channel {
    connection: Connection,
    id: u16,
}

/// What the broker said of published messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Confirm {
    Ack { tag: u64, multiple: bool },
    Nack { tag: u64, multiple: bool },
}

impl Channel {
    pub(super) fn new(connection: Connection, id: u16) -> Self {
        Self { connection, id }
    }

    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub fn id(&self) -> u16 {
        self.id
    }

    // --- any method ---

    /// Sends a method.
    pub async fn say(&self, method: impl IntoClass) {
        self.connection.send(&[AMQPFrame::Method(self.id, method.into_class())]).await;
    }

    /// Sends a method and waits for the answer, past deliveries and the like.
    pub async fn call(&self, method: impl IntoClass) -> Result<AMQPClass, Closed> {
        self.connection.send(&[AMQPFrame::Method(self.id, method.into_class())]).await;
        self.connection.wait(self.id, |event| !comes_unasked(&event.method)).await.map(|event| event.method)
    }

    /// Waits for the next event of any kind.
    pub async fn next(&self) -> Result<Event, Closed> {
        self.connection.wait(self.id, |_| true).await
    }

    /// Waits until the broker closes the channel or its connection, and returns how.
    pub async fn closed(&self) -> Closed {
        match self.connection.wait(self.id, |_| false).await {
            Ok(_) => unreachable!("nothing was asked for"),
            Err(closed) => closed,
        }
    }

    /// Closes it and waits for the answer.
    pub async fn close(&self) -> Result<(), Closed> {
        let close = channel::Close { reply_code: 200, reply_text: "bye".into(), class_id: 0, method_id: 0 };
        self.call(channel::AMQPMethod::Close(close)).await.map(drop)
    }

    // --- queues ---

    /// Declares a queue; returns its name and how many messages and consumers it has.
    pub async fn declare(&self, queue: &Queue) -> Result<queue::DeclareOk, Closed> {
        match self.call(queue::AMQPMethod::Declare(queue.0.clone())).await? {
            AMQPClass::Queue(queue::AMQPMethod::DeclareOk(ok)) => Ok(ok),
            other => panic!("{other:?} instead of Queue.Declare-Ok"),
        }
    }

    /// Asks for a queue by its name alone.
    pub async fn ask(&self, queue: &str) -> Result<queue::DeclareOk, Closed> {
        self.declare(&Queue::named(queue).passive()).await
    }

    /// Waits until this many messages wait in the queue, not counting those delivered and not yet acknowledged.
    pub async fn wait_ready(&self, queue: &str, expected: u32) {
        let what = format!("messages ready in {queue}");
        eventually_equal(PATIENCE, &what, expected, async || self.ask(queue).await.done().message_count)
            .await;
    }

    pub async fn bind(&self, queue: &str, exchange: &str, routing_key: &str) -> Result<(), Closed> {
        let bind = queue::Bind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            ..Default::default()
        };
        self.call(queue::AMQPMethod::Bind(bind)).await.map(drop)
    }

    pub async fn unbind(&self, queue: &str, exchange: &str, routing_key: &str) -> Result<(), Closed> {
        let unbind = queue::Unbind {
            queue: queue.into(),
            exchange: exchange.into(),
            routing_key: routing_key.into(),
            arguments: FieldTable::default(),
        };
        self.call(queue::AMQPMethod::Unbind(unbind)).await.map(drop)
    }

    /// Returns how many messages went.
    pub async fn purge(&self, queue: &str) -> Result<u32, Closed> {
        match self.call(queue::AMQPMethod::Purge(queue::Purge { queue: queue.into(), nowait: false })).await?
        {
            AMQPClass::Queue(queue::AMQPMethod::PurgeOk(ok)) => Ok(ok.message_count),
            other => panic!("{other:?} instead of Queue.Purge-Ok"),
        }
    }

    /// Returns how many messages went with it.
    pub async fn delete(&self, queue: &str) -> Result<u32, Closed> {
        self.delete_if(queue::Delete { queue: queue.into(), ..Default::default() }).await
    }

    pub async fn delete_if(&self, delete: queue::Delete) -> Result<u32, Closed> {
        match self.call(queue::AMQPMethod::Delete(delete)).await? {
            AMQPClass::Queue(queue::AMQPMethod::DeleteOk(ok)) => Ok(ok.message_count),
            other => panic!("{other:?} instead of Queue.Delete-Ok"),
        }
    }

    // --- exchanges ---

    pub async fn declare_exchange(&self, exchange: &Exchange) -> Result<(), Closed> {
        match self.call(exchange::AMQPMethod::Declare(exchange.0.clone())).await? {
            AMQPClass::Exchange(exchange::AMQPMethod::DeclareOk(_)) => Ok(()),
            other => panic!("{other:?} instead of Exchange.Declare-Ok"),
        }
    }

    pub async fn delete_exchange(&self, exchange: &str, if_unused: bool) -> Result<(), Closed> {
        let delete = exchange::Delete { exchange: exchange.into(), if_unused, nowait: false };
        match self.call(exchange::AMQPMethod::Delete(delete)).await? {
            AMQPClass::Exchange(exchange::AMQPMethod::DeleteOk(_)) => Ok(()),
            other => panic!("{other:?} instead of Exchange.Delete-Ok"),
        }
    }

    // --- publishing ---

    pub async fn publish(&self, exchange: &str, routing_key: &str, message: impl Into<Message>) {
        let (exchange, routing_key) = (exchange.into(), routing_key.into());
        let publish = basic::Publish { exchange, routing_key, ..Default::default() };
        self.publish_as(publish, message).await;
    }

    /// The broker returns it where no queue wants it.
    pub async fn publish_mandatory(&self, exchange: &str, routing_key: &str, message: impl Into<Message>) {
        let (exchange, routing_key) = (exchange.into(), routing_key.into());
        let publish = basic::Publish { exchange, routing_key, mandatory: true, immediate: false };
        self.publish_as(publish, message).await;
    }

    pub async fn publish_as(&self, publish: basic::Publish, message: impl Into<Message>) {
        let Message { properties, body } = message.into();
        let most = self.connection.tuned().await.frame_max as usize - FRAME_AROUND;
        let header = AMQPContentHeader { class_id: BASIC, body_size: body.len() as u64, properties };

        let publish = basic::AMQPMethod::Publish(publish).into_class();
        let mut frames = vec![AMQPFrame::Method(self.id, publish), AMQPFrame::Header(self.id, header)];
        frames.extend(body.chunks(most).map(|part| AMQPFrame::Body(self.id, part.to_vec())));
        self.connection.send(&frames).await;
    }

    pub async fn confirm_select(&self) -> Result<(), Closed> {
        self.call(confirm::AMQPMethod::Select(confirm::Select { nowait: false })).await.map(drop)
    }

    /// Waits for the next confirm.
    pub async fn confirm(&self) -> Result<Confirm, Closed> {
        use basic::AMQPMethod::{Ack, Nack};
        let confirms = |event: &Event| matches!(&event.method, AMQPClass::Basic(Ack(_) | Nack(_)));
        match self.connection.wait(self.id, confirms).await?.method {
            AMQPClass::Basic(Ack(ack)) => Ok(Confirm::Ack { tag: ack.delivery_tag, multiple: ack.multiple }),
            AMQPClass::Basic(Nack(nack)) => {
                Ok(Confirm::Nack { tag: nack.delivery_tag, multiple: nack.multiple })
            }
            _ => unreachable!("it was asked for"),
        }
    }

    /// Publishes to a queue by the default exchange, on a confirming channel of its own, and waits for each confirm, so that
    /// each is in the queue. Returns whether the broker took it.
    pub async fn put(&self, queue: &str, message: impl Into<Message>) -> bool {
        self.put_to("", queue, message).await
    }

    /// The same to any exchange.
    pub async fn put_to(&self, exchange: &str, routing_key: &str, message: impl Into<Message>) -> bool {
        let publisher = self.connection.channel(PUBLISHER).await.done();
        publisher.confirm_select().await.done();
        publisher.publish(exchange, routing_key, message).await;
        let confirm = publisher.confirm().await.done();
        publisher.close().await.done();
        matches!(confirm, Confirm::Ack { .. })
    }

    /// Puts each of these, in this order.
    pub async fn put_all(&self, queue: &str, bodies: impl IntoIterator<Item = &str>) {
        for body in bodies {
            assert!(self.put(queue, body).await, "the broker refused {body}");
        }
    }

    // --- consuming ---

    /// At most `prefetch` unacknowledged messages for each consumer that comes.
    pub async fn qos(&self, prefetch: u16) -> Result<(), Closed> {
        let qos = basic::Qos { prefetch_count: prefetch, global: false };
        self.call(basic::AMQPMethod::Qos(qos)).await.map(drop)
    }

    /// Consumes, with acknowledgements, and returns the consumer's tag.
    pub async fn consume(&self, queue: &str) -> Result<String, Closed> {
        self.consume_as(basic::Consume { queue: queue.into(), ..Default::default() }).await
    }

    pub async fn consume_as(&self, consume: basic::Consume) -> Result<String, Closed> {
        match self.call(basic::AMQPMethod::Consume(consume)).await? {
            AMQPClass::Basic(basic::AMQPMethod::ConsumeOk(ok)) => Ok(ok.consumer_tag.to_string()),
            other => panic!("{other:?} instead of Basic.Consume-Ok"),
        }
    }

    pub async fn cancel(&self, consumer: &str) -> Result<(), Closed> {
        let cancel = basic::Cancel { consumer_tag: consumer.into(), nowait: false };
        match self.call(basic::AMQPMethod::Cancel(cancel)).await? {
            AMQPClass::Basic(basic::AMQPMethod::CancelOk(ok)) if ok.consumer_tag.as_str() == consumer => {
                Ok(())
            }
            other => panic!("{other:?} instead of Basic.Cancel-Ok"),
        }
    }

    /// Waits for the next delivery of any consumer of this channel.
    pub async fn delivery(&self) -> Result<Delivery, Closed> {
        let deliver = |event: &Event| matches!(event.method, AMQPClass::Basic(basic::AMQPMethod::Deliver(_)));
        self.connection.wait(self.id, deliver).await.map(Delivery::of)
    }

    /// Waits for this many deliveries.
    pub async fn deliveries(&self, count: usize) -> Vec<Delivery> {
        let mut deliveries = Vec::new();
        while deliveries.len() < count {
            deliveries.push(self.delivery().await.done());
        }
        deliveries
    }

    /// Takes the next message of a queue, which must be acknowledged.
    pub async fn get(&self, queue: &str) -> Result<Option<Delivery>, Closed> {
        self.get_as(basic::Get { queue: queue.into(), no_ack: false }).await
    }

    pub async fn get_as(&self, get: basic::Get) -> Result<Option<Delivery>, Closed> {
        self.say(basic::AMQPMethod::Get(get)).await;
        let event = self.connection.wait(self.id, |event| !comes_unasked(&event.method)).await?;
        match event.method {
            AMQPClass::Basic(basic::AMQPMethod::GetEmpty(_)) => Ok(None),
            _ => Ok(Some(Delivery::of(event))),
        }
    }

    /// Takes the next message for good; waits for it, if it is on its way.
    pub async fn take(&self, queue: &str) -> Delivery {
        let what = format!("a message in {queue}");
        eventually(PATIENCE, &what, async || {
            let get = basic::Get { queue: queue.into(), no_ack: true };
            self.get_as(get).await.done().ok_or("there is none")
        })
        .await
    }

    /// Waits for the next message of a queue and takes it, unacknowledged.
    pub async fn take_unacknowledged(&self, queue: &str) -> Delivery {
        let what = format!("a message in {queue}");
        eventually(PATIENCE, &what, async || self.get(queue).await.done().ok_or("there is none")).await
    }

    /// Takes this many for good, and returns their bodies.
    pub async fn take_texts(&self, queue: &str, count: usize) -> Vec<String> {
        let mut texts = Vec::new();
        while texts.len() < count {
            texts.push(self.take(queue).await.text());
        }
        texts
    }

    pub async fn ack(&self, tag: u64) {
        self.say(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple: false })).await;
    }

    pub async fn ack_up_to(&self, tag: u64) {
        self.say(basic::AMQPMethod::Ack(basic::Ack { delivery_tag: tag, multiple: true })).await;
    }

    pub async fn nack(&self, tag: u64, requeue: bool) {
        self.nack_as(basic::Nack { delivery_tag: tag, multiple: false, requeue }).await;
    }

    pub async fn nack_up_to(&self, tag: u64, requeue: bool) {
        self.nack_as(basic::Nack { delivery_tag: tag, multiple: true, requeue }).await;
    }

    async fn nack_as(&self, nack: basic::Nack) {
        self.say(basic::AMQPMethod::Nack(nack)).await;
    }

    pub async fn reject(&self, tag: u64, requeue: bool) {
        let reject = basic::Reject { delivery_tag: tag, requeue };
        self.say(basic::AMQPMethod::Reject(reject)).await;
    }

    /// Asks for all unacknowledged messages of this channel again.
    pub async fn recover(&self, requeue: bool) -> Result<(), Closed> {
        match self.call(basic::AMQPMethod::Recover(basic::Recover { requeue })).await? {
            AMQPClass::Basic(basic::AMQPMethod::RecoverOk(_)) => Ok(()),
            other => panic!("{other:?} instead of Basic.Recover-Ok"),
        }
    }

    /// Returns once the broker has read all that was said on this channel, and is still content with it.
    pub async fn settle(&self) {
        self.declare_exchange(&Exchange::new("amq.direct", "direct").passive()).await.done();
    }
}

/// The methods of a class are methods.
pub trait IntoClass: Debug {
    fn into_class(self) -> AMQPClass;
}

macro_rules! into_class {
    ($($module:ident => $class:ident),+) => {
        $(impl IntoClass for $module::AMQPMethod {
            fn into_class(self) -> AMQPClass {
                AMQPClass::$class(self)
            }
        })+
    };
}
into_class!(basic => Basic, channel => Channel, confirm => Confirm, exchange => Exchange, queue => Queue);

impl IntoClass for AMQPClass {
    fn into_class(self) -> AMQPClass {
        self
    }
}

fn comes_unasked(method: &AMQPClass) -> bool {
    use basic::AMQPMethod::{Ack, Cancel, Deliver, Nack, Return};
    matches!(
        method,
        AMQPClass::Basic(Ack(_) | Cancel(_) | Deliver(_) | Nack(_) | Return(_))
            | AMQPClass::Channel(channel::AMQPMethod::Close(_) | channel::AMQPMethod::Flow(_))
    )
}
