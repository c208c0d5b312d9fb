//! What publishing costs where nothing else is done: the measure of the relay's speed.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use lapin::{
    Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions, QueueDeleteOptions},
};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::{
    BrokerConfig, BrokerError,
    error::explain,
    message::{Outgoing, short},
    preflight, topology,
    wire::Wire,
};
use crate::{
    event::{Envelope, EventId},
    telemetry::trace::Origin,
};

/// The queue, its routing key, and the type of its events.
const NAME: &str = "yardstick";

/// A publisher that reads no outbox and marks no rows: it has its messages in memory and sends them as fast as the broker
/// confirms.
#[derive(Clone, Debug)]
pub struct Yardstick {
    /// How many messages.
    pub messages: usize,
    /// How many may be unconfirmed at a time.
    pub window: usize,
    /// The body of each.
    pub body: Box<RawValue>,
}

impl Yardstick {
    /// Publishes the messages as the relay does, persistent, mandatory and confirmed, to a queue like any consumer's, and
    /// returns how long that took. The queue is made for it and deleted at the end.
    ///
    /// # Errors
    /// When the broker is away, says no, or does not confirm a message.
    pub async fn measure(&self, config: &BrokerConfig) -> Result<Duration, BrokerError> {
        let wire = connect(config).await?;
        let took = self.publish_all(&wire).await?;

        // What stays behind on an error goes with the broker, which is the benchmark's own.
        let channel = wire.channel().await?;
        let _ = channel.queue_delete(NAME.into(), QueueDeleteOptions::default()).await;
        Ok(took)
    }

    /// Does the same, and leaves the queue with all the messages in it.
    ///
    /// # Errors
    /// Those of [`Yardstick::measure`].
    pub async fn fill(&self, config: &BrokerConfig) -> Result<Duration, BrokerError> {
        self.publish_all(&connect(config).await?).await
    }

    async fn publish_all(&self, wire: &Wire) -> Result<Duration, BrokerError> {
        let channel = wire.channel().await?;
        topology::declare_like_a_consumers(&channel, NAME).await?;
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(|error| BrokerError::from_lapin("switch publisher confirms on", &error))?;

        let mut messages: Vec<Outgoing> = (0..self.messages).map(|_| self.message()).collect();
        let mut unconfirmed = VecDeque::with_capacity(self.window);
        let begun = Instant::now();
        let publish = |error: &lapin::Error| BrokerError::from_lapin("publish a message", error);
        loop {
            if unconfirmed.len() < self.window
                && let Some(Outgoing { exchange, routing_key, properties, body }) = messages.pop()
            {
                let options = BasicPublishOptions { mandatory: true, immediate: false };
                let (exchange, routing_key) = (short(&exchange), short(&routing_key));
                let confirm = channel.basic_publish(exchange, routing_key, options, &body, properties).await;
                unconfirmed.push_back(confirm.map_err(|error| publish(&error))?);
            } else if let Some(confirm) = unconfirmed.pop_front() {
                match confirm.await {
                    Ok(Confirmation::Ack(None)) => {}
                    Ok(_) => {
                        return Err(BrokerError::unreachable("publish a message", "it was not confirmed"));
                    }
                    Err(error) => return Err(BrokerError::unreachable("publish a message", explain(&error))),
                }
            } else {
                break;
            }
        }
        Ok(begun.elapsed())
    }

    fn message(&self) -> Outgoing {
        Outgoing::event(Envelope {
            id: EventId::fresh(),
            event_type: NAME.to_owned(),
            aggregate: Uuid::now_v7().to_string(),
            about: Vec::new(),
            source: NAME.to_owned(),
            time: Timestamp::now(),
            origin: Origin::fresh(),
            body: self.body.clone(),
        })
    }
}

async fn connect(config: &BrokerConfig) -> Result<Wire, BrokerError> {
    let found = preflight::find(config).await?;
    Wire::connect(config, found.address, NAME).await
}
