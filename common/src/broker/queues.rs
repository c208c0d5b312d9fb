//! How much waits in the queues, for whoever wants to know from outside.

use std::{future::Future, time::Duration};

use lapin::{options::QueueDeclareOptions, types::FieldTable};
use tokio::time::timeout;

use super::{BrokerConfig, BrokerError, preflight, wire::Wire};

/// How long an answer of the broker may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// A connection of its own to a broker's queues.
pub struct Queues {
    wire: Wire,
}

impl Queues {
    /// Connects to the broker of `config`.
    ///
    /// # Errors
    /// When the broker is away or says no.
    pub async fn connect(config: &BrokerConfig) -> Result<Self, BrokerError> {
        let found = preflight::find(config).await?;
        Ok(Self { wire: Wire::connect(config, found.address, "queues").await? })
    }

    /// Returns how many messages wait in a queue, without those delivered and not yet acknowledged; `None` where there
    /// is no such queue.
    ///
    /// # Errors
    /// When the broker is away.
    pub async fn waiting(&self, queue: &str) -> Result<Option<u32>, BrokerError> {
        let options = QueueDeclareOptions { passive: true, ..Default::default() };
        let count = async {
            // A channel of its own, because a queue that is not there closes the channel that asks.
            let channel = self.wire.channel().await?;
            let asked = channel.queue_declare(queue.into(), options, FieldTable::default()).await;
            let found =
                asked.map_err(|error| BrokerError::from_lapin(format!("ask for queue {queue}"), &error));
            match found {
                Ok(found) => {
                    // What fails with the channel would have failed with the question.
                    let _ = channel.close(200, "OK".into()).await;
                    Ok(Some(found.message_count()))
                }
                Err(BrokerError::Refused { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        };
        in_time(queue, count).await
    }
}

async fn in_time<T>(
    queue: &str,
    asked: impl Future<Output = Result<T, BrokerError>>,
) -> Result<T, BrokerError> {
    timeout(DEADLINE, asked).await.unwrap_or_else(|_| {
        Err(BrokerError::unreachable(format!("ask for queue {queue}"), "no answer within 15 s"))
    })
}
