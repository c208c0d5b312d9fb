//! Sees every event that passes the exchange, in a queue of its own that takes nothing from anybody.

use bytes::Bytes;
use futures_util::StreamExt;
use lapin::{
    options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions},
    types::{FieldTable, ShortString},
};

use super::{BrokerConfig, BrokerError, error::explain, message::Incoming, preflight, topology, wire::Wire};

/// How many messages may be on their way to the reader.
const PREFETCH: u16 = 500;

/// A durable queue of all events, and its only reader.
pub struct Tap {
    config: BrokerConfig,
    queue: &'static str,
}

/// A message that passed.
#[derive(Clone, Debug)]
pub struct Passed {
    /// The publisher's id, if it gave one.
    pub id: Option<String>,
    /// The routing key.
    pub routing_key: String,
    /// What it says.
    pub body: Bytes,
}

impl Tap {
    /// A tap at the broker of `config`, with a queue of this name.
    pub fn new(config: BrokerConfig, queue: &'static str) -> Self {
        Self { config, queue }
    }

    /// Declares the queue. Whatever is published from then on waits in it until it is read.
    ///
    /// # Errors
    /// When the broker is away or says no.
    pub async fn open(&self) -> Result<(), BrokerError> {
        let wire = self.connect().await?;
        topology::declare_tap(&wire.channel().await?, self.queue).await
    }

    /// Hands every message to `see`, and acknowledges it afterwards, until the link is lost; returns why it was. Read
    /// again, it goes on with what was not acknowledged, so a message may be seen more than once.
    pub async fn read(&self, see: impl FnMut(Passed)) -> BrokerError {
        match self.read_on(see).await {
            Ok(reason) => BrokerError::unreachable(format!("read {}", self.queue), reason),
            Err(error) => error,
        }
    }

    async fn read_on(&self, see: impl FnMut(Passed)) -> Result<String, BrokerError> {
        let wire = self.connect().await?;
        let lost = wire.watch().until_lost(|_| {});
        // The link is watched whatever is waited for: on one that is lost, lapin may leave any question without an answer,
        // an acknowledgement too.
        tokio::select! {
            ended = self.consume(&wire, see) => ended,
            reason = lost => Ok(reason),
        }
    }

    async fn consume(&self, wire: &Wire, mut see: impl FnMut(Passed)) -> Result<String, BrokerError> {
        let channel = wire.channel().await?;
        let failed = |error: lapin::Error| BrokerError::from_lapin(format!("read {}", self.queue), &error);
        channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.map_err(failed)?;
        let (name, options) = (ShortString::default(), BasicConsumeOptions::default());
        let consumer = channel.basic_consume(self.queue.into(), name, options, FieldTable::default());
        let mut deliveries = consumer.await.map_err(failed)?;
        while let Some(delivery) = deliveries.next().await {
            let mut delivery = match delivery {
                Ok(delivery) => delivery,
                Err(error) => return Ok(explain(&error)),
            };
            let message = Incoming::take(&mut delivery);
            see(Passed {
                id: message.properties.message_id().as_ref().map(ShortString::to_string),
                routing_key: message.routing_key,
                body: message.body,
            });
            delivery.acker.ack(BasicAckOptions::default()).await.map_err(failed)?;
        }
        Ok("the broker ended the consumer".to_owned())
    }

    async fn connect(&self) -> Result<Wire, BrokerError> {
        let found = preflight::find(&self.config).await?;
        Wire::connect(&self.config, found.address, "tap").await
    }
}
