use std::{future::Future, pin::pin};

use futures_util::future::{Either, select};
use lapin::{Acker, Channel, options::BasicAckOptions};
use tokio::sync::watch;

use super::{letter, queue};
use crate::broker::{
    BrokerError, BrokerMetrics, PublishOutcome,
    message::{Incoming, Outgoing},
    publisher::{Blocked, Publisher},
    wire::Wire,
};

/// How many dead letters are replayed at a time.
const BATCH: usize = 100;

/// A batch ends with the letter that brings its bodies to so many bytes: they are all in memory until the last of them is
/// confirmed, and anybody may have published bodies of any size.
const BATCH_BYTES: usize = 16 << 20;

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Safe in their queues again.
    pub replayed: usize,
    /// Left among the dead letters: of other queues, or of queues that are gone.
    pub left: usize,
}

/// Replays all, or those of the queue `only`.
pub(super) async fn replay(
    wire: &Wire,
    channel: &Channel,
    metrics: &BrokerMetrics,
    only: Option<&str>,
) -> Result<Replayed, BrokerError> {
    // Those that die meanwhile are for the next call; else one that dies again at once would go in circles.
    let mut due = queue::count(channel).await?;
    publishing(wire, metrics, async |publisher| {
        let mut total = Replayed::default();
        while due > 0 {
            let Some(done) = replay_batch(channel, publisher, only, due.min(BATCH)).await? else { break };
            due -= done.replayed + done.left;
            total.replayed += done.replayed;
            total.left += done.left;
        }
        queue::put_back(channel, total.left).await?;
        Ok(total)
    })
    .await
}

/// Replays the one that `key` names; `None` where there is none.
pub(super) async fn replay_one(
    wire: &Wire,
    channel: &Channel,
    metrics: &BrokerMetrics,
    key: &str,
) -> Result<Option<Replayed>, BrokerError> {
    let (found, others) = queue::search(channel, key).await?;
    let Some((message, acker)) = found else {
        queue::put_back(channel, others).await?;
        return Ok(None);
    };
    let replayed = match outgoing(&message) {
        Some(outgoing) => {
            publishing(wire, metrics, async |publisher| publish(publisher, vec![outgoing], vec![acker]).await)
                .await?
        }
        None => 0,
    };
    queue::put_back(channel, others + 1 - replayed).await?;
    Ok(Some(Replayed { replayed, left: queue::count(channel).await? }))
}

/// Does `work` with a publisher of its own.
async fn publishing<T>(
    wire: &Wire,
    metrics: &BrokerMetrics,
    work: impl AsyncFnOnce(&Publisher) -> Result<T, BrokerError>,
) -> Result<T, BrokerError> {
    let (_blocked, blocked) = watch::channel::<Option<Blocked>>(None);
    let channel = wire.channel().await?;
    let publisher = Publisher::start(channel, blocked, queue::DEADLINE, metrics.clone()).await?;
    match select(pin!(publisher.collect()), pin!(work(&publisher))).await {
        Either::Left((reason, _)) => Err(BrokerError::unreachable("replay dead letters", reason)),
        Either::Right((done, _)) => done,
    }
}

/// Replays up to `size` dead letters, fewer where they are large; `None` where there are no more.
async fn replay_batch(
    channel: &Channel,
    publisher: &Publisher,
    only: Option<&str>,
    size: usize,
) -> Result<Option<Replayed>, BrokerError> {
    let mut replays = Vec::new();
    let mut ackers = Vec::new();
    let (mut taken, mut bytes) = (0, 0);
    while taken < size
        && bytes < BATCH_BYTES
        && let Some((message, acker)) = queue::take(channel).await?
    {
        taken += 1;
        if only.is_none_or(|only| letter::queue_of(&message).is_some_and(|queue| queue == only))
            && let Some(outgoing) = outgoing(&message)
        {
            bytes += outgoing.body.len();
            replays.push(outgoing);
            ackers.push(acker);
        }
    }
    if taken == 0 {
        return Ok(None);
    }
    let replayed = publish(publisher, replays, ackers).await?;
    Ok(Some(Replayed { replayed, left: taken - replayed }))
}

/// The letter as it goes back to its queue, where it says which.
fn outgoing(message: &Incoming) -> Option<Outgoing> {
    let queue = letter::queue_of(message)?;
    Some(message.for_replay(&queue, &letter::routing_key(message)))
}

/// Publishes letters and acknowledges those that their queues have; returns how many.
fn publish(
    publisher: &Publisher,
    replays: Vec<Outgoing>,
    ackers: Vec<Acker>,
) -> impl Future<Output = Result<usize, BrokerError>> {
    let published = publisher.publish(replays);
    async move {
        let mut replayed = 0;
        for (outcome, acker) in published.await.into_iter().zip(ackers) {
            if outcome == PublishOutcome::Confirmed {
                let acknowledged = acker.ack(BasicAckOptions::default());
                queue::answer("acknowledge a dead letter", acknowledged).await?;
                replayed += 1;
            }
        }
        Ok(replayed)
    }
}
