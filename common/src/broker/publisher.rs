use std::{
    collections::HashMap,
    future::Future,
    mem,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use jiff::Timestamp;
use lapin::{
    Channel, Confirmation,
    options::{BasicPublishOptions, ConfirmSelectOptions},
};
use tokio::sync::{Notify, oneshot, watch};

use super::{
    BrokerError, BrokerMetrics, PublishOutcome,
    error::explain,
    message::{Outgoing, short},
    window::{Answer, Route, Window},
};

/// Publishes on one channel and settles what the broker answers. Cheap to clone.
#[derive(Clone)]
pub(super) struct Publisher(Arc<Shared>);

struct Shared {
    channel: Arc<Channel>,
    window: Mutex<Window>,
    under_way: Mutex<HashMap<u64, Sending>>,
    woken: Arc<Woken>,
    blocked: watch::Receiver<Option<Blocked>>,
    confirm_timeout: Duration,
    metrics: BrokerMetrics,
}

/// A message on its way to its answer.
type Sending = Pin<Box<dyn Future<Output = Answer> + Send>>;

/// The broker takes no messages.
#[derive(Clone, Debug)]
pub(super) struct Blocked {
    pub(super) since: Timestamp,
    pub(super) reason: String,
}

/// The numbers of the messages whose futures want to be polled: confirms come by the hundred, and one waking
/// of the collector serves them all.
#[derive(Default)]
struct Woken {
    numbers: Mutex<Vec<u64>>,
    collector: Notify,
}

struct WakeOne {
    number: u64,
    woken: Arc<Woken>,
}

impl Publisher {
    /// Makes `channel` confirm what is published on it. While `blocked` says why, nothing is handed over.
    pub(super) async fn start(
        channel: Channel,
        blocked: watch::Receiver<Option<Blocked>>,
        confirm_timeout: Duration,
        metrics: BrokerMetrics,
    ) -> Result<Self, BrokerError> {
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .map_err(|error| BrokerError::from_lapin("switch publisher confirms on", &error))?;
        Ok(Self(Arc::new(Shared {
            channel: Arc::new(channel),
            window: Mutex::default(),
            under_way: Mutex::default(),
            woken: Arc::default(),
            blocked,
            confirm_timeout,
            metrics,
        })))
    }

    /// Hands `messages` over at once, in their order; the future waits for their fates.
    pub(super) fn publish(
        &self,
        messages: Vec<Outgoing>,
    ) -> impl Future<Output = Vec<PublishOutcome>> + Send + use<> {
        let size = messages.len();
        let settled = self.hand_over(messages);
        async move {
            match settled {
                Ok(outcomes) => outcomes
                    .await
                    .unwrap_or_else(|_| vec![PublishOutcome::Unknown("the link ended".to_owned()); size]),
                Err(outcome) => vec![outcome; size],
            }
        }
    }

    /// Publishes one message.
    pub(super) async fn publish_one(&self, message: Outgoing) -> PublishOutcome {
        let outcomes = self.publish(vec![message]).await;
        outcomes.into_iter().next().unwrap_or_else(|| PublishOutcome::Unknown("no answer".to_owned()))
    }

    /// Why nothing would be handed over now, if that is so.
    pub(super) fn holds_back(&self) -> Option<String> {
        self.0.blocked.borrow().as_ref().map(|blocked| format!("the broker is blocked: {}", blocked.reason))
    }

    /// How many messages were handed over whose fate is not known yet.
    pub(super) fn unconfirmed(&self) -> usize {
        self.window().len()
    }

    /// Settles the broker's answers until the channel ends or a confirm is overdue; returns why.
    pub(super) async fn collect(&self) -> String {
        let mut blocked = self.0.blocked.clone();
        loop {
            if let Some(lost) = self.settle_answers() {
                return lost;
            }
            let is_blocked = blocked.borrow_and_update().is_some();
            let overdue = self.window().overdue_at(self.0.confirm_timeout).filter(|_| !is_blocked);
            let overdue_in = overdue.map(|at| at.saturating_duration_since(Instant::now()));
            tokio::select! {
                () = self.0.woken.collector.notified() => {}
                Ok(()) = blocked.changed() => self.window().unblocked_at(Instant::now()),
                () = tokio::time::sleep(overdue_in.unwrap_or_default()), if overdue_in.is_some() => {
                    // What was handed over meanwhile may have replaced the oldest.
                    if self.window().overdue_at(self.0.confirm_timeout).is_some_and(|at| at <= Instant::now()) {
                        let after = self.0.confirm_timeout.as_millis();
                        return format!("the broker did not confirm a message within {after} ms");
                    }
                }
            }
        }
    }

    /// Settles all that is under way as unknown and takes nothing more.
    pub(super) fn close(&self, reason: &str) {
        let verdicts = self.window().close(reason);
        self.count(&verdicts);
        lock(&self.0.under_way).clear();
    }

    fn hand_over(
        &self,
        messages: Vec<Outgoing>,
    ) -> Result<oneshot::Receiver<Vec<PublishOutcome>>, PublishOutcome> {
        if let Some(reason) = self.holds_back() {
            return Err(PublishOutcome::NotSent(reason));
        }
        let mut window = self.window();
        if let Some(reason) = window.closed() {
            return Err(PublishOutcome::NotSent(reason.to_owned()));
        }
        let now = Instant::now();
        let (batch, settled) = window.open(messages.len());
        let mut under_way = lock(&self.0.under_way);
        for (index, message) in messages.into_iter().enumerate() {
            let route =
                Route { exchange: message.exchange.clone(), routing_key: message.routing_key.clone() };
            let number = window.enter(batch, index, route, now);
            let waker = Waker::from(Arc::new(WakeOne { number, woken: self.0.woken.clone() }));
            let mut sending = Box::pin(send(self.0.channel.clone(), message));
            // The first poll is what hands the message to lapin, so the order of these is the order on the wire.
            match sending.as_mut().poll(&mut Context::from_waker(&waker)) {
                Poll::Pending => drop(under_way.insert(number, sending)),
                Poll::Ready(answer) => {
                    // Over before it began: nothing of it left. The collector is told like of any other.
                    let answer = match answer {
                        Answer::Lost(reason) => Answer::NotSent(reason),
                        answer => answer,
                    };
                    under_way.insert(number, Box::pin(std::future::ready(answer)));
                    waker.wake();
                }
            }
        }
        Ok(settled)
    }

    /// Settles what was answered; returns why the channel ended, if it did.
    fn settle_answers(&self) -> Option<String> {
        loop {
            let fresh = self.poll_woken();
            let lost = fresh.iter().find_map(|(_, answer)| match answer {
                Answer::Lost(reason) => Some(reason.clone()),
                _ => None,
            });
            let (verdicts, undecided) = {
                let mut window = self.window();
                (window.answered(fresh), window.is_undecided())
            };
            self.count(&verdicts);
            if lost.is_some() || !undecided {
                return lost;
            }
            // lapin handles a confirm frame under the lock that this takes: when it returns, the frame whose
            // first confirms were just polled is handled to its end, and the next round sees the rest.
            drop(self.0.channel.wait_for_confirms().now_or_never());
        }
    }

    fn poll_woken(&self) -> Vec<(u64, Answer)> {
        let numbers = mem::take(&mut *lock(&self.0.woken.numbers));
        let mut under_way = lock(&self.0.under_way);
        let mut answers = Vec::with_capacity(numbers.len());
        for number in numbers {
            // A message may have been woken twice and be gone.
            let Some(sending) = under_way.get_mut(&number) else { continue };
            let waker = Waker::from(Arc::new(WakeOne { number, woken: self.0.woken.clone() }));
            if let Poll::Ready(answer) = sending.as_mut().poll(&mut Context::from_waker(&waker)) {
                under_way.remove(&number);
                answers.push((number, answer));
            }
        }
        answers
    }

    fn count(&self, verdicts: &[PublishOutcome]) {
        for verdict in verdicts {
            self.0.metrics.count_outcome(verdict);
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        lock(&self.0.window)
    }
}

impl Wake for WakeOne {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let first = {
            let mut numbers = lock(&self.woken.numbers);
            numbers.push(self.number);
            numbers.len() == 1
        };
        if first {
            self.woken.collector.notify_one();
        }
    }
}

/// Hands one message over at its first poll, then waits for its confirm.
async fn send(channel: Arc<Channel>, message: Outgoing) -> Answer {
    let Outgoing { exchange, routing_key, properties, body } = message;
    let (exchange, routing_key) = (short(&exchange), short(&routing_key));
    let options = BasicPublishOptions { mandatory: true, immediate: false };
    let confirm = match channel.basic_publish(exchange, routing_key, options, &body, properties).await {
        Ok(confirm) => confirm,
        Err(error) => return Answer::Lost(explain(&error)),
    };
    drop(body);
    let route_of = |returned: lapin::message::BasicReturnMessage| Route {
        exchange: returned.exchange.to_string(),
        routing_key: returned.routing_key.to_string(),
    };
    match confirm.await {
        Ok(Confirmation::Ack(returned)) => Answer::Ack(returned.map(route_of)),
        Ok(Confirmation::Nack(returned)) => Answer::Nack(returned.map(route_of)),
        Ok(Confirmation::NotRequested) => Answer::Lost("the channel does not confirm".to_owned()),
        Err(error) => Answer::Lost(explain(&error)),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while one of these is held leaves whole values behind.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
