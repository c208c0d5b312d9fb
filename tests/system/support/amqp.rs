//! An AMQP client that knows nothing of Warren: it publishes any bytes, and looks into any queue.

use std::time::Duration;

use lapin::options::{
    BasicAckOptions, BasicGetOptions, BasicPublishOptions, ConfirmSelectOptions, QueueBindOptions,
    QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable, LongString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use serde_json::Value;
use warren::harness::eventually;

/// A confirming channel of a connection of its own.
pub struct Amqp {
    connection: Connection,
    channel: Channel,
}

/// A message to publish, or one that was taken from a queue.
#[derive(Clone, Debug, Default)]
pub struct Message {
    /// The exchange it is published to; empty is the default exchange, which routes to the queue of the key's name.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The body.
    pub body: Vec<u8>,
    /// Message id, type, headers and the like.
    pub properties: BasicProperties,
}

/// What the broker said of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Published {
    /// It is in every queue that it was routed to.
    Routed,
    /// No queue wanted it.
    Unroutable,
    /// The broker could not keep it.
    Refused,
}

impl Message {
    /// An event: persistent JSON for the exchange `events`, with no other properties.
    pub fn event(routing_key: &str, body: &Value) -> Self {
        Self::raw(routing_key, body.to_string())
    }

    /// Any bytes for the exchange `events`.
    pub fn raw(routing_key: &str, body: impl Into<Vec<u8>>) -> Self {
        Self {
            exchange: "events".into(),
            routing_key: routing_key.into(),
            body: body.into(),
            properties: BasicProperties::default().with_delivery_mode(2),
        }
    }

    /// To this exchange instead.
    pub fn to(self, exchange: &str) -> Self {
        Self { exchange: exchange.into(), ..self }
    }

    /// With this message id, by which an event is known again.
    pub fn id(self, id: &str) -> Self {
        Self { properties: self.properties.with_message_id(id.into()), ..self }
    }

    /// With this header.
    pub fn with_header(self, name: &str, value: &str) -> Self {
        let mut headers = self.properties.headers().clone().unwrap_or_default();
        headers.insert(name.into(), AMQPValue::LongString(LongString::from(value)));
        Self { properties: self.properties.with_headers(headers), ..self }
    }

    /// A header as text, whatever its type.
    pub fn header(&self, name: &str) -> Option<String> {
        match self.properties.headers().as_ref()?.inner().get(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            AMQPValue::LongLongInt(number) => Some(number.to_string()),
            AMQPValue::LongInt(number) => Some(number.to_string()),
            AMQPValue::LongUInt(number) => Some(number.to_string()),
            other => Some(format!("{other:?}")),
        }
    }
}

impl Amqp {
    /// Connects to the virtual host of the URL.
    ///
    /// # Panics
    ///
    /// When it cannot within ten seconds.
    pub async fn connect(url: &str) -> Self {
        let connect = async {
            let connection = Connection::connect(url, ConnectionProperties::default()).await?;
            let channel = connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok::<_, lapin::Error>(Self { connection, channel })
        };
        let connected = tokio::time::timeout(Duration::from_secs(10), connect).await;
        connected
            .expect("the broker answers within ten seconds")
            .unwrap_or_else(|error| panic!("{url}: {error}"))
    }

    /// Publishes, mandatory, and returns what the broker confirmed.
    pub async fn publish(&self, message: &Message) -> Published {
        self.publish_all(std::slice::from_ref(message)).await[0]
    }

    /// Publishes all before it waits for the first confirm.
    pub async fn publish_all(&self, messages: &[Message]) -> Vec<Published> {
        let mut confirms = Vec::with_capacity(messages.len());
        for Message { exchange, routing_key, body, properties } in messages {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let (exchange, routing_key) = (exchange.as_str().into(), routing_key.as_str().into());
            let confirm =
                self.channel.basic_publish(exchange, routing_key, options, body, properties.clone()).await;
            confirms.push(confirm.expect("the channel is open"));
        }

        let mut published = Vec::with_capacity(messages.len());
        for confirm in confirms {
            published.push(match confirm.await.expect("the channel is open") {
                Confirmation::Ack(None) => Published::Routed,
                Confirmation::Ack(Some(_)) => Published::Unroutable,
                Confirmation::Nack(_) => Published::Refused,
                Confirmation::NotRequested => unreachable!("confirms were selected"),
            });
        }
        published
    }

    /// How many messages wait in a queue, not counting those delivered and not yet acknowledged. `None`: no such queue.
    pub async fn depth(&self, queue: &str) -> Option<u32> {
        // A channel of its own, because a queue that is not there closes the channel that asks.
        let channel = self.connection.create_channel().await.expect("the connection is open");
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let queue = channel.queue_declare(queue.into(), options, FieldTable::default()).await.ok()?;
        Some(queue.message_count())
    }

    /// Waits until this many messages wait in the queue.
    ///
    /// # Panics
    ///
    /// When there are fewer or more after ten seconds.
    pub async fn wait_depth(&self, queue: &str, expected: u32) {
        eventually(Duration::from_secs(10), &format!("{expected} messages in {queue}"), async || {
            let depth = self.depth(queue).await;
            if depth == Some(expected) { Ok(()) } else { Err(format!("{depth:?}")) }
        })
        .await;
    }

    /// Declares a durable queue of the test's own, without arguments, bound to `exchange` by each key.
    pub async fn declare(&self, queue: &str, exchange: &str, keys: &[&str]) {
        let options = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        self.channel
            .queue_declare(queue.into(), options, FieldTable::default())
            .await
            .expect("the queue is declared");
        for key in keys {
            let bound = self.channel.queue_bind(
                queue.into(),
                exchange.into(),
                (*key).into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            );
            bound.await.expect("the queue is bound");
        }
    }

    /// Takes the next message from a queue, if there is one.
    pub async fn take(&self, queue: &str) -> Option<Message> {
        let got = self
            .channel
            .basic_get(queue.into(), BasicGetOptions::default())
            .await
            .expect("the queue is there")?;
        let delivery = got.delivery;
        delivery.acker.ack(BasicAckOptions::default()).await.expect("the channel is open");
        Some(Message {
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            body: delivery.data,
            properties: delivery.properties,
        })
    }

    /// Waits for this many messages and takes them.
    ///
    /// # Panics
    ///
    /// When they are not there after ten seconds.
    pub async fn take_many(&self, queue: &str, count: usize) -> Vec<Message> {
        let mut taken = Vec::new();
        while taken.len() < count {
            let what = format!("message {} of {count} in {queue}", taken.len() + 1);
            let next = async || self.take(queue).await.ok_or("the queue is empty");
            taken.push(eventually(Duration::from_secs(10), &what, next).await);
        }
        taken
    }

    /// Removes a queue.
    pub async fn remove(&self, queue: &str) {
        let removed = self.channel.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
        removed.expect("the channel is open");
    }
}
