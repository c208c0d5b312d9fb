//! Queues and exchanges as a story wants them.

use amq_protocol::protocol::{exchange, queue};
use amq_protocol::types::AMQPValue;

use super::text;

/// A Queue.Declare: durable and classic, where nothing else is said.
#[derive(Clone, Debug)]
pub struct Queue(pub(super) queue::Declare);

impl Queue {
    pub fn named(name: &str) -> Self {
        Self(queue::Declare { queue: name.into(), durable: true, ..Default::default() })
    }

    /// Exclusive to its connection, and named by the broker.
    pub fn nameless() -> Self {
        Self(queue::Declare { exclusive: true, ..Default::default() })
    }

    pub fn quorum(self) -> Self {
        self.with("x-queue-type", text("quorum"))
    }

    pub fn transient(mut self) -> Self {
        self.0.durable = false;
        self
    }

    pub fn exclusive(mut self) -> Self {
        self.0.exclusive = true;
        self
    }

    pub fn auto_delete(mut self) -> Self {
        self.0.auto_delete = true;
        self
    }

    pub fn passive(mut self) -> Self {
        self.0.passive = true;
        self
    }

    pub fn with(mut self, argument: &str, value: AMQPValue) -> Self {
        self.0.arguments.insert(argument.into(), value);
        self
    }

    pub fn number(self, argument: &str, value: i64) -> Self {
        self.with(argument, AMQPValue::LongLongInt(value))
    }

    pub fn text(self, argument: &str, value: &str) -> Self {
        self.with(argument, text(value))
    }

    /// Its dead letters go to this queue, by the default exchange.
    pub fn dead_letters_to(self, queue: &str) -> Self {
        self.text("x-dead-letter-exchange", "").text("x-dead-letter-routing-key", queue)
    }
}

/// An Exchange.Declare: durable, where nothing else is said.
#[derive(Clone, Debug)]
pub struct Exchange(pub(super) exchange::Declare);

impl Exchange {
    pub fn new(name: &str, kind: &str) -> Self {
        Self(exchange::Declare {
            exchange: name.into(),
            kind: kind.into(),
            durable: true,
            ..Default::default()
        })
    }

    pub fn transient(mut self) -> Self {
        self.0.durable = false;
        self
    }

    pub fn auto_delete(mut self) -> Self {
        self.0.auto_delete = true;
        self
    }

    pub fn internal(mut self) -> Self {
        self.0.internal = true;
        self
    }

    pub fn passive(mut self) -> Self {
        self.0.passive = true;
        self
    }
}
