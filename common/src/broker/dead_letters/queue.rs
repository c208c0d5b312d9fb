//! The queue of the dead letters: taking from it, and putting back.

use std::{future::Future, time::Duration};

use lapin::{
    Acker, Channel,
    options::{BasicGetOptions, BasicNackOptions, QueueDeclareOptions},
    types::FieldTable,
};
use tokio::time::{Instant, sleep, timeout};

use super::letter;
use crate::broker::{BrokerError, message::Incoming, topology::DEAD};

/// How long an answer of the broker may take.
pub(super) const DEADLINE: Duration = Duration::from_secs(15);

/// How long the broker may take to put dead letters back.
const PUT_BACK_DEADLINE: Duration = Duration::from_secs(2);

/// How often it is asked whether it has.
const PUT_BACK_TICK: Duration = Duration::from_millis(10);

/// Takes the next dead letter, unacknowledged.
pub(super) async fn take(channel: &Channel) -> Result<Option<(Incoming, Acker)>, BrokerError> {
    let got =
        answer("read a dead letter", channel.basic_get(DEAD.into(), BasicGetOptions::default())).await?;
    Ok(got.map(|mut got| (Incoming::take(&mut got.delivery), got.delivery.acker)))
}

/// Takes dead letters until the one that `key` names; returns it, and how many others were taken on the way. Those that
/// come meanwhile are not looked at.
pub(super) async fn search(
    channel: &Channel,
    key: &str,
) -> Result<(Option<(Incoming, Acker)>, usize), BrokerError> {
    let due = count(channel).await?;
    for others in 0..due {
        match take(channel).await? {
            Some((message, acker)) if letter::key_of(&message) == key => {
                return Ok((Some((message, acker)), others));
            }
            Some(_) => {}
            None => return Ok((None, others)),
        }
    }
    Ok((None, due))
}

/// How many dead letters are there, without those that somebody looks at.
pub(super) async fn count(channel: &Channel) -> Result<usize, BrokerError> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let found =
        answer("count the dead letters", channel.queue_declare(DEAD.into(), options, FieldTable::default()))
            .await?;
    Ok(found.message_count() as usize)
}

/// Puts what was taken and not acknowledged back to its place, and waits until it is there: the broker is not
/// done when the channel closes, and a command that follows would find nothing.
pub(super) async fn put_back(channel: &Channel, taken: usize) -> Result<(), BrokerError> {
    let all = BasicNackOptions { multiple: true, requeue: true };
    answer("put dead letters back", channel.basic_nack(0, all)).await?;
    let end = Instant::now() + PUT_BACK_DEADLINE;
    // Somebody else may take them meanwhile, which is as good.
    while count(channel).await? < taken && Instant::now() < end {
        sleep(PUT_BACK_TICK).await;
    }
    Ok(())
}

pub(super) async fn answer<T>(
    action: &'static str,
    asked: impl Future<Output = lapin::Result<T>>,
) -> Result<T, BrokerError> {
    match timeout(DEADLINE, asked).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(BrokerError::from_lapin(action, &error)),
        Err(_) => Err(BrokerError::unreachable(action, "no answer within 15 s")),
    }
}
