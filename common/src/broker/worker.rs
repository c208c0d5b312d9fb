//! Takes the deliveries of one subscription, many at a time, and sees each to its end.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use lapin::{
    Channel,
    options::{BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicQosOptions},
    types::FieldTable,
};
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{
    BrokerError, BrokerMetrics, Delivery, Disposition, PublishOutcome, Subscription,
    error::explain,
    message::{Incoming, Outgoing},
    publisher::Publisher,
    spans,
    state::Tally,
};
use crate::{
    backoff::Backoff,
    ledger::Ledger,
    telemetry::{log::panic_message, spans::Span},
};

/// Larger bodies are no events of ours; they go to the dead letters unread.
const BODY_MAX: usize = 1024 * 1024;

/// How a delivery is held whose consumer is away, and one whose successor the broker does not take.
const HOLD: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));

/// How long a delivery is held before it goes to the end of its queue; RabbitMQ gives up on a consumer that
/// keeps one for 30 minutes.
const HOLD_MAX: Duration = Duration::from_secs(15 * 60);

/// How long the broker may take to stop sending.
const CANCEL_DEADLINE: Duration = Duration::from_secs(2);

/// The living consumer of one subscription.
pub(super) struct Worker {
    pub(super) subscription: Subscription,
    pub(super) retry_delays: Vec<Duration>,
    pub(super) publisher: Publisher,
    pub(super) tally: Arc<Tally>,
    pub(super) metrics: BrokerMetrics,
    pub(super) ledger: Ledger,
    /// The generation of the link.
    pub(super) generation: u64,
    /// Turns true when the service is about to end.
    pub(super) stopping: watch::Receiver<bool>,
    /// Told when a retry queue or the dead letters' is gone: only connecting anew declares it again.
    pub(super) broken: watch::Sender<Option<String>>,
}

/// Where the broker delivers.
pub(super) struct Attached {
    channel: Channel,
    deliveries: lapin::Consumer,
}

/// Asks for the deliveries of `subscription`, at most `prefetch` at a time, on a channel of its own.
pub(super) async fn attach(
    channel: Channel,
    subscription: &Subscription,
    prefetch: u16,
) -> Result<Attached, BrokerError> {
    let queue = subscription.queue;
    let refused = |error| BrokerError::from_lapin(format!("consume from queue {queue}"), &error);
    // Before consuming, or the broker sends the whole queue at once.
    channel.basic_qos(prefetch, BasicQosOptions { global: false }).await.map_err(refused)?;
    let deliveries = channel
        .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await
        .map_err(refused)?;
    Ok(Attached { channel, deliveries })
}

impl Worker {
    /// Works until it is told to stop, and then until the deliveries in progress are answered.
    ///
    /// # Errors
    /// Says why there are no more deliveries.
    pub(super) async fn run(self: Arc<Self>, attached: Attached) -> Result<(), String> {
        let Attached { channel, mut deliveries } = attached;
        let queue = self.subscription.queue;
        let mut stopping = self.stopping.clone();
        let mut in_progress = JoinSet::new();
        loop {
            tokio::select! {
                biased;
                // A sender that is gone means the same.
                _ = stopping.wait_for(|stopping| *stopping) => break,
                delivery = deliveries.next() => match delivery {
                    Some(Ok(delivery)) => drop(in_progress.spawn(self.clone().answer(delivery))),
                    Some(Err(error)) => return Err(explain(&error)),
                    None => return Err(format!("the broker cancelled the consumer of queue {queue}")),
                },
                Some(ended) = in_progress.join_next() => resume_panic(ended),
            }
        }
        // What else the broker sends stays unanswered and comes again. Cancelling comes last: RabbitMQ forgets
        // acknowledgements that reach a quorum queue after it.
        while let Some(ended) = in_progress.join_next().await {
            resume_panic(ended);
        }
        let cancel = channel.basic_cancel(deliveries.tag(), BasicCancelOptions::default());
        let _ = timeout(CANCEL_DEADLINE, cancel).await;
        Ok(())
    }

    /// Sees one delivery to its end; where the link or the service ends first, it stays unanswered.
    async fn answer(self: Arc<Self>, mut raw: lapin::message::Delivery) {
        let _in_progress = InProgress::begin(self.tally.clone());
        let message = Incoming::take(&mut raw);
        let mut delivery = message.delivery(self.subscription.queue);
        self.ledger.delivered(&delivery, self.generation);
        let span = spans::processing(&message, &mut delivery);
        let origin = delivery.origin.clone();
        origin.scope(self.see_through(raw, message, delivery, span)).await;
    }

    async fn see_through(
        &self,
        raw: lapin::message::Delivery,
        message: Incoming,
        delivery: Delivery,
        mut span: Span,
    ) {
        let Some((answer, count)) = self.dispose(&message, &delivery, &mut span).await else { return };
        drop(span);
        let Delivery { id, event_type, attempt, queue, .. } = &delivery;
        let id = id.as_str();
        match raw.acker.ack(BasicAckOptions::default()).await {
            Ok(true) => {
                count.fetch_add(1, Ordering::Relaxed);
                self.ledger.answered(&delivery, answer, self.generation);
                self.metrics.count_delivery(queue, answer);
                log::debug!(
                    "event=delivery queue={queue} id={id:?} type={event_type:?} attempt={attempt} answer={answer}"
                );
            }
            // The link is ending, and its end is reported elsewhere.
            Ok(false) | Err(_) => log::debug!("event=unacknowledged queue={queue} id={id:?}"),
        }
    }

    /// Brings the delivery to where it may be acknowledged; `None` where it may not.
    async fn dispose(
        &self,
        message: &Incoming,
        delivery: &Delivery,
        span: &mut Span,
    ) -> Option<(&'static str, &AtomicU64)> {
        let queue = self.subscription.queue;
        // Whoever publishes chooses it, so it is quoted wherever it is logged.
        let id = delivery.id.as_str();
        let disposition = match message.body.len() {
            size if size > BODY_MAX => {
                Disposition::Dead(format!("a body of {size} bytes is larger than {BODY_MAX}"))
            }
            _ => self.consume(delivery).await?,
        };
        spans::disposed(span, &disposition);
        let label = disposition.label();
        let (label, count, reason) = match disposition {
            Disposition::Done => return Some((label, &self.tally.acked)),
            Disposition::Later(reason) => {
                // Held for so long that the broker might lose its patience.
                log::warn!("event=held_too_long queue={queue} id={id:?} reason={reason:?}");
                self.forward(message.for_later(queue)).await?;
                return Some((label, &self.tally.retried));
            }
            Disposition::Retry(reason) => match self.retry_delays.get(delivery.attempt as usize - 1) {
                Some(&delay) => {
                    self.forward(message.for_retry(queue, delay, &reason)).await?;
                    log::debug!("event=retry queue={queue} id={id:?} reason={reason:?}");
                    return Some((label, &self.tally.retried));
                }
                None => ("dead", &self.tally.dead, reason),
            },
            Disposition::Dead(reason) => (label, &self.tally.dead, reason),
        };
        self.forward(message.for_the_dead(queue, &reason, Timestamp::now())).await?;
        let Delivery { event_type, attempt, .. } = delivery;
        log::warn!(
            "event=dead_letter queue={queue} id={id:?} type={event_type:?} attempts={attempt} reason={reason:?}"
        );
        Some((label, count))
    }

    /// Asks the consumer until it is there; returns [`Disposition::Later`] after [`HOLD_MAX`], and `None` where
    /// the service ends first.
    async fn consume(&self, delivery: &Delivery) -> Option<Disposition> {
        let held_since = Instant::now();
        for attempt in 0.. {
            let (consumer, delivery) = (self.subscription.consumer.clone(), delivery.clone());
            let consumed = AssertUnwindSafe(async move { consumer.consume(delivery).await });
            let disposition = consumed.catch_unwind().await.unwrap_or_else(|panic| {
                Disposition::Retry(format!("the consumer panicked: {}", panic_message(panic.as_ref())))
            });
            match disposition {
                Disposition::Later(reason) if held_since.elapsed() < HOLD_MAX => {
                    if attempt == 0 {
                        self.metrics.count_delivery(self.subscription.queue, "held");
                        log::debug!("event=held queue={} reason={reason:?}", self.subscription.queue);
                    }
                    self.pause(attempt).await?;
                }
                disposition => return Some(disposition),
            }
        }
        None
    }

    /// Publishes `message` until the broker has it; `None` where the service ends first.
    async fn forward(&self, message: Outgoing) -> Option<()> {
        for attempt in 0.. {
            match self.publisher.publish_one(message.clone()).await {
                PublishOutcome::Confirmed => return Some(()),
                PublishOutcome::Unroutable => {
                    let exchange = &message.exchange;
                    self.broken.send_replace(Some(format!("exchange {exchange:?} leads to no queue")));
                }
                outcome => log::debug!("event=not_forwarded outcome={}", outcome.label()),
            }
            self.pause(attempt).await?;
        }
        None
    }

    /// Waits before the next attempt; `None` where the service ends first.
    async fn pause(&self, attempt: u32) -> Option<()> {
        // Half of it is certain: full jitter alone would let a hot loop through.
        let delay = HOLD.delay(attempt, 0.5 + fastrand::f64() / 2.0);
        let mut stopping = self.stopping.clone();
        tokio::select! {
            _ = stopping.wait_for(|stopping| *stopping) => None,
            () = tokio::time::sleep(delay) => Some(()),
        }
    }
}

/// Counts a delivery as in progress until it is dropped.
struct InProgress(Arc<Tally>);

impl InProgress {
    fn begin(tally: Arc<Tally>) -> Self {
        tally.in_progress.fetch_add(1, Ordering::Relaxed);
        Self(tally)
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.in_progress.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A panic here is a mistake of this room, and the guardian is to hear of it.
fn resume_panic(ended: Result<(), tokio::task::JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}
