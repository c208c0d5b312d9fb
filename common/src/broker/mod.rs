//! The link to RabbitMQ: events out, events in, and back by itself after any outage.
//!
//! *Owns*: two AMQP connections (one publishes, one consumes, because RabbitMQ may block the one that
//! publishes), their channels, and what is published but not yet confirmed.
//! *Receives*: [`Publish`], [`StopConsuming`], [`Observe`](crate::supervision::Observe).
//! *Sends*: nothing; it calls each [`Subscription`]'s [`Consumer`].
//! *When it fails*: a [`BrokerActor`] lives exactly as long as one link. When the link ends, or cannot be made,
//! the actor ends with the cause, and the guardian builds the next one after a backoff. What was neither
//! confirmed nor acknowledged then comes again: from the outbox, or from the queue.
//!
//! A message counts as published when the broker has confirmed it *and* has not returned it (the page `window`
//! says why that is two questions), and as consumed when it is acknowledged, which happens after its effect, or its
//! successor in a retry queue or among the dead letters, is safe.
//!
//! Only this room names `lapin`. Its own recovery stays off: one owner of recovery, never two.

mod config;

mod actor;
mod publish;
mod state;
mod stop_consuming;

mod link;
mod link_fault;
mod preflight;
mod topology;
mod wire;

mod publisher;
mod window;

mod consume;
mod message;
mod rewrite;
mod sanitizer;
mod worker;

mod spans;

mod dead_letters;
mod queues;
mod tap;

mod yardstick;

mod error;
mod metrics;

pub use actor::{BrokerActor, History};
pub use config::BrokerConfig;
pub use consume::{Consumer, Delivery, Disposition, Subscription};
pub use dead_letters::{DeadLetter, DeadLetterCounter, DeadLetters, Replayed};
pub use error::BrokerError;
pub use link_fault::{LinkFault, LinkFaults};
pub use metrics::BrokerMetrics;
pub use publish::{Publish, PublishOutcome};
pub use queues::Queues;
pub use state::{BrokerState, ConsumerState, LinkStatus};
pub use stop_consuming::StopConsuming;
pub use tap::{Passed, Tap};
pub use yardstick::Yardstick;
