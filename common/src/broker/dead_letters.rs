//! Looks at the dead letters and sends them back to where they came from.

use std::{future::Future, pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::future::{Either, select};
use jiff::Timestamp;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::{AMQPValue, FieldTable, ShortString},
};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    BrokerConfig, BrokerError, BrokerMetrics, PublishOutcome,
    message::{Incoming, REASON, ROUTING_KEY},
    preflight,
    publisher::{Blocked, Publisher},
    rewrite::{ATTEMPTS, FAILED_AT, QUEUE},
    topology::{self, DEAD},
    wire::Wire,
};

/// How many dead letters are replayed at a time.
const BATCH: usize = 100;

/// How long an answer of the broker may take.
const DEADLINE: Duration = Duration::from_secs(15);

/// How long the broker may take to put dead letters back.
const PUT_BACK_DEADLINE: Duration = Duration::from_secs(2);

/// How often it is asked whether it has.
const PUT_BACK_TICK: Duration = Duration::from_millis(10);

/// A connection of its own to the dead letters, for an operator's command.
pub struct DeadLetters {
    config: BrokerConfig,
    metrics: BrokerMetrics,
}

/// A message that its consumer could not handle.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// The publisher's id, if it gave one.
    pub id: Option<String>,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// The queue that it was in.
    pub queue: Option<String>,
    /// Why it is here.
    pub reason: Option<String>,
    /// How many attempts were made at it.
    pub attempts: Option<i64>,
    /// Since when it is here.
    pub failed_at: Option<Timestamp>,
    /// What it says.
    pub body: Bytes,
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    /// Safe in their queues again.
    pub replayed: usize,
    /// Left among the dead letters: of other queues, or of queues that are gone.
    pub left: usize,
}

impl DeadLetters {
    /// Looks for the dead letters at the broker of `config`.
    pub fn new(config: BrokerConfig) -> Self {
        let metrics = BrokerMetrics::register("dead_letters", &mut Default::default());
        Self { config, metrics }
    }

    /// Returns up to `most` dead letters, the oldest first, and leaves them where they are.
    ///
    /// # Errors
    /// When the broker is away or says no.
    pub async fn list(&self, most: usize) -> Result<Vec<DeadLetter>, BrokerError> {
        let wire = self.connect().await?;
        let channel = wire.channel().await?;
        topology::declare_dead_letters(&channel).await?;
        let mut letters = Vec::new();
        while letters.len() < most
            && let Some((message, _)) = get(&channel).await?
        {
            letters.push(DeadLetter::read(&message));
        }
        put_back(&channel, letters.len()).await?;
        Ok(letters)
    }

    /// Sends every dead letter, or only those of `queue`, back to the queue that it was in, to be attempted
    /// anew. A dead letter is acknowledged once its queue has it.
    ///
    /// # Errors
    /// When the broker is away or says no; what was replayed before stays replayed.
    pub async fn replay(&self, queue: Option<&str>) -> Result<Replayed, BrokerError> {
        let wire = self.connect().await?;
        let channel = wire.channel().await?;
        topology::declare_dead_letters(&channel).await?;
        // Those that die meanwhile are for the next call; else one that dies again at once would go in circles.
        let mut due = count(&channel).await?;
        let (_blocked, blocked) = watch::channel::<Option<Blocked>>(None);
        let publisher =
            Publisher::start(wire.channel().await?, blocked, DEADLINE, self.metrics.clone()).await?;
        let replay = async {
            let mut total = Replayed::default();
            while due > 0 {
                let batch = due.min(BATCH);
                due -= batch;
                let Some(done) = replay_batch(&channel, &publisher, queue, batch).await? else { break };
                total.replayed += done.replayed;
                total.left += done.left;
            }
            put_back(&channel, total.left).await?;
            Ok(total)
        };
        match select(pin!(publisher.collect()), pin!(replay)).await {
            Either::Left((reason, _)) => Err(BrokerError::unreachable("replay dead letters", reason)),
            Either::Right((replayed, _)) => replayed,
        }
    }

    async fn connect(&self) -> Result<Wire, BrokerError> {
        let found = preflight::find(&self.config).await?;
        Wire::connect(&self.config, found.address, "dead letters").await
    }
}

impl DeadLetter {
    fn read(message: &Incoming) -> Self {
        let attempts = match message.header(ATTEMPTS) {
            Some(AMQPValue::LongLongInt(attempts)) => Some(*attempts),
            _ => None,
        };
        Self {
            id: message.properties.message_id().as_ref().map(ShortString::to_string),
            routing_key: routing_key(message),
            queue: queue_of(message),
            reason: reason_of(message),
            attempts,
            failed_at: message.text(FAILED_AT).and_then(|at| at.parse().ok()),
            body: message.body.clone(),
        }
    }
}

/// Replays up to `size` dead letters; `None` where there are no more.
async fn replay_batch(
    channel: &Channel,
    publisher: &Publisher,
    only: Option<&str>,
    size: usize,
) -> Result<Option<Replayed>, BrokerError> {
    let mut replays = Vec::new();
    let mut ackers = Vec::new();
    let mut taken = 0;
    while taken < size
        && let Some((message, acker)) = get(channel).await?
    {
        taken += 1;
        let Some(queue) = queue_of(&message) else { continue };
        if only.is_none_or(|only| only == queue) {
            replays.push(message.for_replay(&queue, &routing_key(&message)));
            ackers.push(acker);
        }
    }
    if taken == 0 {
        return Ok(None);
    }
    let mut replayed = 0;
    for (outcome, acker) in publisher.publish(replays).await.into_iter().zip(ackers) {
        if outcome == PublishOutcome::Confirmed {
            answer("acknowledge a dead letter", acker.ack(BasicAckOptions::default())).await?;
            replayed += 1;
        }
    }
    Ok(Some(Replayed { replayed, left: taken - replayed }))
}

/// Takes the next dead letter, unacknowledged.
async fn get(channel: &Channel) -> Result<Option<(Incoming, lapin::Acker)>, BrokerError> {
    let got =
        answer("read a dead letter", channel.basic_get(DEAD.into(), BasicGetOptions::default())).await?;
    Ok(got.map(|mut got| (Incoming::take(&mut got.delivery), got.delivery.acker)))
}

/// How many dead letters are there, without those that somebody looks at.
async fn count(channel: &Channel) -> Result<usize, BrokerError> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let found =
        answer("count the dead letters", channel.queue_declare(DEAD.into(), options, FieldTable::default()))
            .await?;
    Ok(found.message_count() as usize)
}

/// Puts what was taken and not acknowledged back to its place, and waits until it is there: the broker is not
/// done when the channel closes, and a command that follows would find nothing.
async fn put_back(channel: &Channel, taken: usize) -> Result<(), BrokerError> {
    let all = BasicNackOptions { multiple: true, requeue: true };
    answer("put dead letters back", channel.basic_nack(0, all)).await?;
    let end = Instant::now() + PUT_BACK_DEADLINE;
    // Somebody else may take them meanwhile, which is as good.
    while count(channel).await? < taken && Instant::now() < end {
        sleep(PUT_BACK_TICK).await;
    }
    Ok(())
}

/// The queue that a dead letter was in.
fn queue_of(message: &Incoming) -> Option<String> {
    message.text(QUEUE).or_else(|| last_death(message, "queue"))
}

/// Why it is here. A reason for a retry may be older than the broker's own.
fn reason_of(message: &Incoming) -> Option<String> {
    match message.header(QUEUE) {
        Some(_) => message.text(REASON),
        None => last_death(message, "reason").map(|reason| format!("moved by the broker: {reason}")),
    }
}

/// The routing key that it was published with.
fn routing_key(message: &Incoming) -> String {
    message.text(ROUTING_KEY).unwrap_or_else(|| message.routing_key.clone())
}

/// What the broker noted when it moved the message here itself, past the delivery limit.
fn last_death(message: &Incoming, field: &str) -> Option<String> {
    let AMQPValue::FieldArray(deaths) = message.header("x-death")? else { return None };
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
    match death.inner().get(field)? {
        AMQPValue::LongString(text) => Some(text.to_string()),
        _ => None,
    }
}

async fn answer<T>(
    action: &'static str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match timeout(DEADLINE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(BrokerError::from_lapin(action, &error)),
        Err(_) => Err(BrokerError::unreachable(action, "no answer within 15 s")),
    }
}
