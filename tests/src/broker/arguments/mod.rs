//! What a declaration says, checked as RabbitMQ checks it.

mod queue;
pub use queue::{DeadLetter, Overflow, QueueKind, QueueOptions};

mod consumer;
pub use consumer::check_consumer;

mod exchange;
pub use exchange::{ExchangeDeclaration, ExchangeKind, ExchangeOptions};

mod known;

mod equivalence;

mod erlang;
pub(crate) use erlang::integer;

pub(crate) mod stored;

#[cfg(test)]
mod tests;
