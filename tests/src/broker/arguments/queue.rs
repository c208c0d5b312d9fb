//! What a `queue.declare` says.

use std::time::Duration;

use amq_protocol::protocol::queue;
use amq_protocol::types::FieldTable;
use serde::{Deserialize, Serialize};

use super::equivalence::Declared;
use super::erlang::{integer, text, type_of};
use super::known::{KNOWN, QUEUE_TYPE};
use super::stored;
use crate::broker::Refusal;

/// The type of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum QueueKind {
    /// One that may be transient.
    Classic,
    /// One that counts deliveries.
    Quorum,
}

/// What happens to a message for a queue that is full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Overflow {
    /// The oldest message makes room.
    #[default]
    DropHead,
    /// It is refused.
    RejectPublish,
    /// It is refused, and goes to the dead-letter exchange.
    RejectPublishDlx,
}

/// Where a queue's dead messages go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Need not exist.
    pub exchange: String,
    /// Each message's own where there is none.
    pub routing_key: Option<String>,
}

/// What a queue is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QueueOptions {
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it is one connection's.
    pub exclusive: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// Its type.
    pub kind: QueueKind,
    /// How long a message may wait.
    pub message_ttl: Option<Duration>,
    /// How long it may be unused.
    pub expires: Option<Duration>,
    /// How many messages may wait.
    pub max_length: Option<u64>,
    /// How many bytes of bodies may wait.
    pub max_length_bytes: Option<u64>,
    /// What happens beyond these.
    pub overflow: Overflow,
    /// Where dead messages go.
    pub dead_letter: Option<DeadLetter>,
    /// How often a message may come back: it dies when it comes back once more.
    pub delivery_limit: Option<u32>,
    /// As declared.
    #[serde(with = "stored")]
    pub arguments: FieldTable,
}

/// A `queue.declare` as it came.
#[derive(Clone, Copy, Debug)]
pub struct QueueDeclaration<'a> {
    /// Whether it outlives the broker.
    pub durable: bool,
    /// Whether it is one connection's.
    pub exclusive: bool,
    /// Whether it goes with its last consumer.
    pub auto_delete: bool,
    /// All else.
    pub arguments: &'a FieldTable,
}

impl<'a> From<&'a queue::Declare> for QueueDeclaration<'a> {
    fn from(declare: &'a queue::Declare) -> Self {
        let queue::Declare { durable, exclusive, auto_delete, arguments, .. } = declare;
        Self { durable: *durable, exclusive: *exclusive, auto_delete: *auto_delete, arguments }
    }
}

impl QueueOptions {
    /// Reads the declaration of a new queue. One that is there is asked by [`QueueOptions::check_redeclared`] instead.
    ///
    /// # Errors
    ///
    /// RabbitMQ would not take it, or this broker does not do what it asks for.
    pub fn parse(name: &str, vhost: &str, declaration: QueueDeclaration<'_>) -> Result<Self, Refusal> {
        let QueueDeclaration { durable, exclusive, auto_delete, arguments } = declaration;
        let kind = check(name, vhost, arguments)?;
        // An exclusive queue ends with its connection, whatever else was asked for.
        let durable = durable && !exclusive;
        if kind == QueueKind::Quorum {
            let unfit =
                [(auto_delete, "auto-delete"), (exclusive, "exclusive-owner"), (!durable, "non-durable")];
            if let Some((_, property)) = unfit.into_iter().find(|(is_so, _)| *is_so) {
                return Err(Refusal::precondition_failed(format_args!(
                    "invalid property '{property}' for queue '{name}' in vhost '{vhost}'"
                )));
            }
        }

        let number = |key| arguments.inner().get(key).and_then(integer);
        let count = |key| number(key).and_then(|number| u64::try_from(number).ok());
        let word = |key| arguments.inner().get(key).and_then(text);
        Ok(Self {
            durable,
            exclusive,
            auto_delete,
            kind,
            message_ttl: count("x-message-ttl").map(Duration::from_millis),
            expires: count("x-expires").map(Duration::from_millis),
            max_length: count("x-max-length"),
            max_length_bytes: count("x-max-length-bytes"),
            overflow: match (word("x-overflow").as_deref(), kind) {
                (Some("reject-publish"), _) => Overflow::RejectPublish,
                (Some("reject-publish-dlx"), QueueKind::Classic) => Overflow::RejectPublishDlx,
                // A quorum queue takes the third word, too, and does not heed it.
                _ => Overflow::DropHead,
            },
            dead_letter: word("x-dead-letter-exchange")
                .map(|exchange| DeadLetter { exchange, routing_key: word("x-dead-letter-routing-key") }),
            // RabbitMQ takes any value: one below zero is as zero, and what is no number limits nothing.
            delivery_limit: number("x-delivery-limit")
                .map(|limit| u32::try_from(limit.max(0)).unwrap_or(u32::MAX)),
            arguments: arguments.clone(),
        })
    }

    /// Whether this queue is what is declared again. As in RabbitMQ, arguments that would be wrong for a new queue are
    /// only compared. Whose an exclusive queue is must have been looked at before.
    ///
    /// # Errors
    ///
    /// It is not.
    pub fn check_redeclared(
        &self,
        name: &str,
        vhost: &str,
        declaration: QueueDeclaration<'_>,
    ) -> Result<(), Refusal> {
        let QueueDeclaration { durable, exclusive, auto_delete, arguments } = declaration;
        if self.exclusive != exclusive {
            return Err(Refusal::resource_locked(name, vhost));
        }
        let declared = Declared { kind: "queue", name, vhost };
        declared.same("durable", self.durable, durable && !exclusive)?;
        declared.same("auto_delete", self.auto_delete, auto_delete)?;
        KNOWN
            .iter()
            .filter(|known| known.is_for(self.kind))
            .try_for_each(|known| declared.same_argument(known.key, &self.arguments, arguments))
    }
}

/// Checks arguments, in RabbitMQ's order, and gives the type of the queue.
fn check(name: &str, vhost: &str, arguments: &FieldTable) -> Result<QueueKind, Refusal> {
    let queue = format!("queue '{name}' in vhost '{vhost}'");
    let invalid = |key: &str, why: &str| {
        Refusal::precondition_failed(format_args!("invalid arg '{key}' for {queue}: {why}"))
    };

    const EXCHANGE: &str = "x-dead-letter-exchange";
    if let Some(value) = arguments.inner().get(EXCHANGE)
        && text(value).is_none()
    {
        let type_of = type_of(value);
        return Err(Refusal::precondition_failed(format_args!(
            "invalid type '{type_of}' for arg '{EXCHANGE}' in {queue}"
        )));
    }

    QUEUE_TYPE.check(arguments).map_err(|why| invalid(QUEUE_TYPE.key, &why))?;
    let kind = match arguments.inner().get(QUEUE_TYPE.key).and_then(text).as_deref() {
        Some("stream") => return Err(not_implemented(QUEUE_TYPE.key, &queue, "streams")),
        Some("quorum") => QueueKind::Quorum,
        _ => QueueKind::Classic,
    };
    for known in KNOWN.iter().filter(|known| known.is_for(kind)) {
        known.check(arguments).map_err(|why| invalid(known.key, &why))?;
    }
    if let Some(known) = KNOWN.iter().find(|known| !known.is_for(kind) && arguments.contains_key(known.key)) {
        return Err(Refusal::not_of_this_type(known.key, &queue, kind));
    }

    // What is fine with RabbitMQ and not with this broker.
    for key in [EXCHANGE, "x-dead-letter-routing-key"] {
        if arguments.inner().get(key).and_then(text).is_some_and(|name| name.len() > 255) {
            return Err(invalid(key, "no name in AMQP is longer than 255 bytes"));
        }
    }
    if arguments.contains_key("x-max-priority") {
        return Err(not_implemented("x-max-priority", &queue, "priorities"));
    }
    if arguments.inner().get("x-single-active-consumer").and_then(|value| value.as_bool()) == Some(true) {
        return Err(not_implemented("x-single-active-consumer", &queue, "single active consumers"));
    }
    Ok(kind)
}

fn not_implemented(key: &str, queue: &str, what: &str) -> Refusal {
    Refusal::not_implemented(format_args!("argument '{key}' of {queue}: the embedded broker has no {what}"))
}
