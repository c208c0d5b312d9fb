//! Looks at the dead letters, sends them back to where they came from, and discards what nobody needs.
//!
//! All of them lie in one queue, and a queue has no other way to look into it than to take from it: so each operation
//! takes letters one after the other, leaves them unacknowledged, and puts back in the end what it did not deal with. A
//! letter that somebody else has taken meanwhile is not seen, and left. Where the connection, or this process, ends
//! half-way, the broker puts back all that was not acknowledged, and a letter is acknowledged last: after its queue has
//! confirmed it, when it is replayed. So a crash can send a letter back twice, which its consumer's inbox makes once, and
//! can lose none.
//!
//! Looking counts as a delivery (RabbitMQ counts in `x-delivery-count` whatever is put back), which is why the queue is
//! declared with a limit that nobody reaches: 4.0 would drop a letter after the twentieth look. And what is put back goes
//! to the end of a queue that has a limit, so the order in the queue says nothing.

mod letter;
mod queue;
mod replay;

use lapin::{Channel, options::BasicAckOptions};

use super::{BrokerConfig, BrokerError, BrokerMetrics, preflight, topology, wire::Wire};

pub use letter::DeadLetter;
pub use replay::Replayed;

/// How many letters are looked at for the oldest of them.
const LOOKED_AT: usize = 1000;

/// A connection of its own to the dead letters, for each of an operator's commands.
pub struct DeadLetters {
    config: BrokerConfig,
    metrics: BrokerMetrics,
}

impl DeadLetters {
    /// Looks for the dead letters at the broker of `config`.
    pub fn new(config: BrokerConfig) -> Self {
        let metrics = BrokerMetrics::register("dead_letters", &mut Default::default());
        Self { config, metrics }
    }

    /// Connects in order to count them, as often as one likes.
    ///
    /// # Errors
    /// When the broker is away or says no.
    pub async fn counter(&self) -> Result<DeadLetterCounter, BrokerError> {
        let (wire, channel) = self.open().await?;
        Ok(DeadLetterCounter { _wire: wire, channel })
    }

    /// Returns up to `most` dead letters, the oldest first, and leaves them where they are. Where more than a thousand lie
    /// there, and more than `most`, these are the oldest of those that were looked at, which the next call may not be.
    ///
    /// # Errors
    /// When the broker is away or says no.
    pub async fn list(&self, most: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let (_wire, channel) = self.open().await?;
        let due = queue::count(&channel).await?.min(most.max(LOOKED_AT));
        let mut letters = Vec::new();
        while letters.len() < due
            && let Some((message, _)) = queue::take(&channel).await?
        {
            letters.push(DeadLetter::read(&message));
        }
        queue::put_back(&channel, letters.len()).await?;
        letters.sort_by_key(|letter| letter.failed_at);
        letters.truncate(most);
        Ok(letters)
    }

    /// Sends every dead letter, or only those of `queue`, back to the queue that it was in, to be attempted
    /// anew. A dead letter is acknowledged once its queue has it.
    ///
    /// # Errors
    /// When the broker is away or says no; what was replayed before stays replayed.
    pub async fn replay(&self, queue: Option<&str>) -> Result<Replayed, BrokerError> {
        let (wire, channel) = self.open().await?;
        replay::replay(&wire, &channel, &self.metrics, queue).await
    }

    /// Sends the dead letter that `key` names back to the queue that it was in; `None` where there is no such letter.
    /// Of several that are the same in everything, one.
    ///
    /// # Errors
    /// When the broker is away or says no.
    pub async fn replay_one(&self, key: &str) -> Result<Option<Replayed>, BrokerError> {
        let (wire, channel) = self.open().await?;
        replay::replay_one(&wire, &channel, &self.metrics, key).await
    }

    /// Removes the dead letter that `key` names, for ever, and returns how many are left; `None` where there is no such
    /// letter. Of several that are the same in everything, one.
    ///
    /// # Errors
    /// When the broker is away or says no.
    pub async fn discard(&self, key: &str) -> Result<Option<usize>, BrokerError> {
        let (_wire, channel) = self.open().await?;
        let (found, others) = queue::search(&channel, key).await?;
        let found = match found {
            Some((_, acker)) => {
                let acknowledged = acker.ack(BasicAckOptions::default());
                queue::answer("acknowledge a dead letter", acknowledged).await?;
                true
            }
            None => false,
        };
        queue::put_back(&channel, others).await?;
        Ok(if found { Some(queue::count(&channel).await?) } else { None })
    }

    async fn open(&self) -> Result<(Wire, Channel), BrokerError> {
        let found = preflight::find(&self.config).await?;
        let wire = Wire::connect(&self.config, found.address, "dead letters").await?;
        let channel = wire.channel().await?;
        topology::declare_dead_letters(&channel).await?;
        Ok((wire, channel))
    }
}

/// A connection over which the dead letters are counted.
pub struct DeadLetterCounter {
    channel: Channel,
    // After what goes over it.
    _wire: Wire,
}

impl DeadLetterCounter {
    /// Returns how many there are, without those that somebody looks at just now. Takes none.
    ///
    /// # Errors
    /// When the broker is away or says no. Then the connection is of no more use.
    pub async fn count(&self) -> Result<usize, BrokerError> {
        queue::count(&self.channel).await
    }
}
