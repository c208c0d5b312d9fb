//! What must exist at the broker: declared at every connect, because a broker may come back empty.
//!
//! ```text
//! events (topic) ── order.created ──> users.order-created ──> consumer
//!                                        ^    consumer: fails │      │ consumer: can never succeed
//!       its time is up, default exchange │                    v      v
//!                                        └──── events.retry.1000ms  events.dead
//! ```
//!
//! Every queue is a quorum queue with arguments that RabbitMQ 3.10 and 4 both take. Where the broker itself
//! moves a message (out of a retry queue, or past the delivery limit), it does so at least once: it drops the
//! message there after the other queue has confirmed it, which needs `reject-publish` as the overflow rule.

use std::time::Duration;

use lapin::{
    Channel, ExchangeKind,
    options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable},
};

use super::{BrokerConfig, BrokerError, Subscription};

/// The exchange of all events.
pub(super) const EVENTS: &str = "events";

/// The exchange of the dead letters, and their queue.
pub(super) const DEAD: &str = "events.dead";

/// How often a message may come back unanswered before the broker takes it for one that its consumer dies of.
/// The end of a link counts for every message in progress, so this leaves room for many ends in a row.
const DELIVERY_LIMIT: i64 = 100;

/// Looking at dead letters counts as delivering them, and RabbitMQ 4 drops what exceeds the limit, which is 20
/// where none is set; "without a limit" (-1) is refused by 3.10.
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// Returns the name of the exchange, and of the queue, in which messages wait for `delay`.
pub(super) fn retry(delay: Duration) -> String {
    format!("events.retry.{}ms", delay.as_millis())
}

/// Declares the exchanges and queues that every service shares, and those of `subscriptions`.
pub(super) async fn declare(
    channel: &Channel,
    config: &BrokerConfig,
    subscriptions: &[Subscription],
) -> Result<(), BrokerError> {
    exchange(channel, EVENTS, ExchangeKind::Topic).await?;
    declare_dead_letters(channel).await?;
    for &delay in &config.retry_delays {
        let name = retry(delay);
        exchange(channel, &name, ExchangeKind::Fanout).await?;
        queue(channel, &name, retry_arguments(delay)).await?;
        bind(channel, &name, &name, "").await?;
    }
    for subscription in subscriptions {
        queue(channel, subscription.queue, consumer_arguments()).await?;
        for routing_key in subscription.routing_keys {
            bind(channel, subscription.queue, EVENTS, routing_key).await?;
        }
    }
    Ok(())
}

/// Declares one queue like that of a consumer, which gets what is published under its own name.
pub(super) async fn declare_like_a_consumers(channel: &Channel, name: &str) -> Result<(), BrokerError> {
    exchange(channel, EVENTS, ExchangeKind::Topic).await?;
    declare_dead_letters(channel).await?;
    queue(channel, name, consumer_arguments()).await?;
    bind(channel, name, EVENTS, name).await
}

/// Declares a queue that gets every event.
pub(super) async fn declare_tap(channel: &Channel, name: &str) -> Result<(), BrokerError> {
    exchange(channel, EVENTS, ExchangeKind::Topic).await?;
    queue(channel, name, without_delivery_limit()).await?;
    bind(channel, name, EVENTS, "#").await
}

/// Declares where dead letters go.
pub(super) async fn declare_dead_letters(channel: &Channel) -> Result<(), BrokerError> {
    exchange(channel, DEAD, ExchangeKind::Fanout).await?;
    queue(channel, DEAD, without_delivery_limit()).await?;
    bind(channel, DEAD, DEAD, "").await
}

type Arguments = Vec<(&'static str, AMQPValue)>;

fn consumer_arguments() -> Arguments {
    let mut arguments = at_least_once_to(DEAD);
    arguments.push(("x-delivery-limit", AMQPValue::LongLongInt(DELIVERY_LIMIT)));
    arguments
}

fn retry_arguments(delay: Duration) -> Arguments {
    let delay = i64::try_from(delay.as_millis()).unwrap_or(i64::MAX);
    // The default exchange: the routing key, which the message keeps, is the name of the consumer's queue.
    let mut arguments = at_least_once_to("");
    arguments.push(("x-message-ttl", AMQPValue::LongLongInt(delay)));
    arguments
}

fn without_delivery_limit() -> Arguments {
    vec![quorum(), ("x-delivery-limit", AMQPValue::LongLongInt(NO_DELIVERY_LIMIT))]
}

fn at_least_once_to(exchange: &str) -> Arguments {
    let text = |text: &str| AMQPValue::LongString(text.into());
    vec![
        quorum(),
        ("x-dead-letter-exchange", text(exchange)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]
}

fn quorum() -> (&'static str, AMQPValue) {
    ("x-queue-type", AMQPValue::LongString("quorum".into()))
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), BrokerError> {
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    channel
        .exchange_declare(name.into(), kind, options, FieldTable::default())
        .await
        .map_err(|error| BrokerError::from_lapin(format!("declare exchange {name}"), &error))
}

async fn queue(channel: &Channel, name: &str, arguments: Arguments) -> Result<(), BrokerError> {
    let options = QueueDeclareOptions { durable: true, ..Default::default() };
    let mut table = FieldTable::default();
    for (name, value) in arguments {
        table.insert(name.into(), value);
    }
    channel
        .queue_declare(name.into(), options, table)
        .await
        .map(drop)
        .map_err(|error| BrokerError::from_lapin(format!("declare queue {name}"), &error))
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, routing_key: &str) -> Result<(), BrokerError> {
    let (options, arguments) = (QueueBindOptions::default(), FieldTable::default());
    channel
        .queue_bind(queue.into(), exchange.into(), routing_key.into(), options, arguments)
        .await
        .map_err(|error| BrokerError::from_lapin(format!("bind queue {queue} to {exchange}"), &error))
}
