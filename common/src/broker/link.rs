//! One link: what a generation of the actor connects, owns and loses.

use std::{
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use futures_util::future::{Either, select};
use jiff::Timestamp;
use tokio::{sync::watch, task::JoinSet, time::timeout};

use super::{
    BrokerConfig, BrokerError, BrokerMetrics, History, LinkFaults, Subscription,
    link_fault::Blockers,
    preflight,
    publisher::{Blocked, Publisher},
    state::Tally,
    topology,
    wire::{Socket, Watch, Wire},
    worker::{Worker, attach},
};
use crate::timeline::{IncidentId, IncidentKind, Timeline};

/// How long declaring everything and attaching the consumers may take: some thirty questions, each as slow as the network
/// and the disks of the broker. One that has fallen silent is noticed much sooner, by its heartbeats.
const SETUP_DEADLINE: Duration = Duration::from_secs(60);

/// How long what failed may take to say so after the connection did.
const REFUSAL_DEADLINE: Duration = Duration::from_millis(100);

/// A link that works.
pub(super) struct Link {
    pub(super) publisher: Publisher,
    pub(super) product: Option<String>,
    pub(super) since: Timestamp,
    pub(super) tallies: Vec<(&'static str, Arc<Tally>)>,
    blocked: watch::Receiver<Option<Blocked>>,
    stopping: watch::Sender<bool>,
    /// How many consumers work.
    working: watch::Receiver<usize>,
    metrics: BrokerMetrics,
    _publishing: Wire,
    _consuming: Wire,
}

/// What runs while the link works.
pub(super) struct Running {
    tasks: JoinSet<Result<(), String>>,
    broken: watch::Receiver<Option<String>>,
}

impl Link {
    /// Connects, declares everything and attaches the consumers. Dropping the future undoes it.
    pub(super) async fn connect(
        config: BrokerConfig,
        subscriptions: Vec<Subscription>,
        metrics: BrokerMetrics,
        history: History,
        generation: u64,
    ) -> Result<(Self, Running), BrokerError> {
        config.faults.check()?;
        let found = preflight::find(&config).await?;
        let service = metrics.service;
        let publishing = Wire::connect(&config, found.address, &format!("{service} publishes")).await?;
        let publishing_watch = publishing.watch();
        let consuming = Wire::connect(&config, found.address, &format!("{service} consumes")).await?;
        let consuming_watch = consuming.watch();

        let (blocked, blocked_out) = watch::channel(None);
        let (broken, broken_out) = watch::channel(None);
        let (stopping, stopping_out) = watch::channel(false);
        let (working, working_out) = watch::channel(subscriptions.len());
        let mut tasks = JoinSet::new();
        let mut tallies = Vec::with_capacity(subscriptions.len());
        let setup = async {
            topology::declare(&publishing.channel().await?, &config, &subscriptions).await?;
            let publisher = Publisher::start(
                publishing.channel().await?,
                blocked_out.clone(),
                config.confirm_timeout,
                metrics.clone(),
            )
            .await?;
            let working = Arc::new(working);
            for subscription in subscriptions {
                let attached = attach(consuming.channel().await?, &subscription, config.prefetch).await?;
                let tally = Arc::new(Tally::default());
                tallies.push((subscription.queue, tally.clone()));
                let worker = Worker {
                    subscription,
                    retry_delays: config.retry_delays.clone(),
                    publisher: publisher.clone(),
                    tally,
                    metrics: metrics.clone(),
                    ledger: history.ledger.clone(),
                    generation,
                    stopping: stopping_out.clone(),
                    broken: broken.clone(),
                };
                let working = working.clone();
                tasks.spawn(async move {
                    Arc::new(worker).run(attached).await?;
                    working.send_modify(|working| *working -= 1);
                    Ok(())
                });
            }
            Ok(publisher)
        };
        let sockets = [publishing.socket(), consuming.socket()];
        let faults = (config.faults.clone(), sockets);
        let lost =
            watch_both(publishing_watch, consuming_watch, blocked, metrics.clone(), history.timeline, faults);
        let mut lost = Box::pin(lost);
        let publisher = match select(&mut lost, Box::pin(timeout(SETUP_DEADLINE, setup))).await {
            // What was refused says more than that the channel was closed for it.
            Either::Left((reason, setup)) => match timeout(REFUSAL_DEADLINE, setup).await {
                Ok(Ok(Err(error))) => return Err(error),
                _ => return Err(BrokerError::unreachable("set the link up", reason)),
            },
            Either::Right((Ok(publisher), _)) => publisher?,
            Either::Right((Err(_), _)) => {
                let after = format!("the broker took more than {} s", SETUP_DEADLINE.as_secs());
                return Err(BrokerError::unreachable("set the link up", after));
            }
        };
        tasks.spawn(async move { Err(lost.await) });
        let collector = publisher.clone();
        tasks.spawn(async move { Err(collector.collect().await) });
        metrics.connected.set(1);
        let link = Self {
            publisher,
            product: found.product,
            since: Timestamp::now(),
            tallies,
            blocked: blocked_out,
            stopping,
            working: working_out,
            metrics,
            _publishing: publishing,
            _consuming: consuming,
        };
        Ok((link, Running { tasks, broken: broken_out }))
    }

    /// Since when the broker takes no messages.
    pub(super) fn blocked_since(&self) -> Option<Timestamp> {
        self.blocked.borrow().as_ref().map(|blocked| blocked.since)
    }

    /// Stops the consumers; returns how many deliveries are unanswered when they have stopped, or `within` is
    /// over.
    pub(super) fn stop_consuming(&self, within: Duration) -> impl Future<Output = usize> + use<> {
        self.stopping.send_replace(true);
        let mut working = self.working.clone();
        let tallies: Vec<_> = self.tallies.iter().map(|(queue, tally)| (*queue, tally.clone())).collect();
        async move {
            // A sender that is gone means that the link ended; then nothing is in progress any more.
            let _ = timeout(within, working.wait_for(|working| *working == 0)).await;
            let left: u64 = tallies.iter().map(|(queue, tally)| tally.state(queue).in_progress).sum();
            usize::try_from(left).unwrap_or(usize::MAX)
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.metrics.connected.set(0);
        self.metrics.blocked.set(false, Instant::now());
        self.publisher.close("the link ended");
    }
}

impl Running {
    /// Waits until the link ends; returns why.
    pub(super) async fn until_lost(mut self) -> String {
        let broken = async {
            match self.broken.wait_for(Option::is_some).await {
                Ok(reason) => reason.clone().unwrap_or_default(),
                Err(_) => std::future::pending().await,
            }
        };
        let ended = async {
            loop {
                match self.tasks.join_next().await {
                    Some(Ok(Ok(()))) => {}
                    Some(Ok(Err(reason))) => return reason,
                    // The guardian is to hear of a mistake in this room.
                    Some(Err(error)) => match error.try_into_panic() {
                        Ok(panic) => std::panic::resume_unwind(panic),
                        Err(_) => return "a task was cancelled".to_owned(),
                    },
                    None => return "nothing runs any more".to_owned(),
                }
            }
        };
        match select(Box::pin(broken), Box::pin(ended)).await {
            Either::Left((reason, _)) | Either::Right((reason, _)) => reason,
        }
    }
}

/// The broker takes no messages; over when it is dropped, also with the link.
struct OpenIncident {
    timeline: Timeline,
    id: IncidentId,
}

impl OpenIncident {
    fn begin(timeline: &Timeline, reason: &str) -> Self {
        Self { timeline: timeline.clone(), id: timeline.begin(IncidentKind::Blocked, "broker", reason) }
    }
}

impl Drop for OpenIncident {
    fn drop(&mut self) {
        self.timeline.end(self.id);
    }
}

/// Waits until either connection ends, or is ended by a fault; returns why.
async fn watch_both(
    publishing: Watch,
    consuming: Watch,
    blocked: watch::Sender<Option<Blocked>>,
    metrics: BrokerMetrics,
    timeline: Timeline,
    (faults, sockets): (LinkFaults, [Socket; 2]),
) -> String {
    let incident = Mutex::new(None::<OpenIncident>);
    let tell = |open| *incident.lock().unwrap_or_else(PoisonError::into_inner) = open;
    let on_blocked = |reason: Option<String>| {
        metrics.blocked.set(reason.is_some(), Instant::now());
        let since = Timestamp::now();
        match &reason {
            Some(reason) => {
                log::warn!("event=blocked reason={reason:?}");
                tell(Some(OpenIncident::begin(&timeline, reason)));
            }
            None => {
                let before = blocked.borrow().as_ref().map_or(since, |blocked| blocked.since);
                log::info!("event=unblocked after_ms={}", since.duration_since(before).as_millis());
                tell(None);
            }
        }
        blocked.send_replace(reason.map(|reason| Blocked { since, reason }));
    };
    let blockers = Blockers::new(on_blocked);
    tokio::select! {
        biased;
        reason = faults.cut() => {
            sockets.iter().for_each(Socket::shut);
            reason
        }
        reason = publishing.until_lost(|reason| blockers.broker(reason)) => reason,
        // RabbitMQ blocks only connections that publish.
        reason = consuming.until_lost(|_| {}) => reason,
        () = faults.block(|reason| blockers.fault(reason)) => "nothing blocks the link any more".to_owned(),
    }
}
