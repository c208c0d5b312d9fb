//! One task an actor: build, wait for its end, note why, wait, build the next.

use std::{
    error::Error,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context};
use futures_util::future::{Either, select};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};

use super::{ActorStatus, Exit, Handle, Life, RestartWindow, handle::Living, supervisor::Shared};
use crate::{
    backoff::Backoff,
    telemetry::log::panic_message,
    timeline::{IncidentId, IncidentKind},
};

/// How an actor is kept alive.
#[derive(Clone, Debug)]
pub struct Spec {
    pub(super) name: String,
    backoff: Backoff,
    window: RestartWindow,
    healthy_when_started: bool,
    is_link: bool,
}

impl Spec {
    /// Restarts after 20 ms at first and 500 ms at most, so that an actor that fails once is back well within a
    /// second; more than 20 failures within a minute escalate.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            backoff: Backoff::new(Duration::from_millis(20), Duration::from_millis(500)),
            window: RestartWindow::new(20, Duration::from_secs(60)),
            healthy_when_started: true,
            is_link: false,
        }
    }

    /// Waits by `backoff` between generations.
    pub fn backoff(self, backoff: Backoff) -> Self {
        Self { backoff, ..self }
    }

    /// Escalates when `window` is overrun.
    pub fn window(self, window: RestartWindow) -> Self {
        Self { window, ..self }
    }

    /// The actor itself says when it works, by [`Life::healthy`].
    pub fn healthy_when_it_says_so(self) -> Self {
        Self { healthy_when_started: false, ..self }
    }

    /// The actor is a link to something outside, whose loss the timeline shows as that.
    pub fn is_link(self) -> Self {
        Self { is_link: true, ..self }
    }
}

/// A fault injected into a living actor, for demonstrations and tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The task that runs the actor panics.
    Panic,
    /// The actor ends without a reason.
    Stop,
    /// The actor does nothing for so long: its mailbox fills and its timers wait, while all others on its thread go on. The
    /// next fault, whatever it is, takes the place of this one.
    Stall(Duration),
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Panic => f.write_str("panic"),
            Self::Stop => f.write_str("stop"),
            Self::Stall(time) => write!(f, "stall for {} ms", time.as_millis()),
        }
    }
}

/// What a guardian shows of its actor.
#[derive(Debug)]
pub(super) struct Progress {
    pub(super) status: ActorStatus,
    pub(super) life: Life,
    pub(super) restarts: u64,
    pub(super) last_cause: Option<Exit>,
    pub(super) next_attempt_at: Option<Timestamp>,
}

pub(super) struct Guardian<A: Actor<Context = Context<A>>, F> {
    pub(super) spec: Spec,
    pub(super) factory: F,
    pub(super) handle: Handle<A>,
    pub(super) progress: Arc<Mutex<Progress>>,
    pub(super) faults: mpsc::Receiver<Fault>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) shared: Arc<Shared>,
    /// From an end until it works again.
    pub(super) incident: Option<IncidentId>,
}

enum End {
    Exited(Exit),
    StopAsked,
}

impl<A, F> Guardian<A, F>
where
    A: Actor<Context = Context<A>>,
    F: FnMut(Life) -> Result<A, Box<dyn Error + Send + Sync>>,
{
    /// Runs until the service stops or supervision escalates.
    pub(super) async fn run(mut self) {
        let mut attempt = 0;
        for generation in 1.. {
            let life = Life::new(generation);
            self.show(|progress| {
                progress.life = life.clone();
                progress.status = ActorStatus::Starting;
                progress.next_attempt_at = None;
            });
            let exit = match self.live(&life).await {
                End::StopAsked => break,
                End::Exited(exit) => exit,
            };
            self.handle.lead_to(None);
            let ended = Instant::now();
            let lived = life.healthy_since().map(|since| ended - since);
            if lived.is_some_and(|lived| lived > self.spec.backoff.max()) {
                attempt = 0;
            }
            if exit.is_failure() && self.spec.window.overrun_by_failure_at(ended) {
                self.note_exit(generation, &exit, Duration::ZERO);
                self.shared.escalate(&self.spec.name, &exit);
                break;
            }
            let delay = self.spec.backoff.delay(attempt, fastrand::f64());
            attempt += 1;
            self.note_exit(generation, &exit, delay);
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = self.stopping.changed() => break,
            }
        }
        self.handle.lead_to(None);
        self.show(|progress| {
            progress.status = ActorStatus::Stopped;
            progress.next_attempt_at = None;
        });
    }

    /// Builds one generation and runs it to its end.
    async fn live(&mut self, life: &Life) -> End {
        let factory = &mut self.factory;
        let actor = match catch_unwind(AssertUnwindSafe(|| factory(life.clone()))) {
            Ok(Ok(actor)) => actor,
            Ok(Err(error)) => {
                // The factory may have said why, and that it was something outside the process.
                life.failed(error.to_string());
                return End::Exited(life.take_exit());
            }
            Err(panic) => return End::Exited(Exit::Panicked(panic_message(panic.as_ref()))),
        };
        let context = Context::new();
        let addr = context.address();
        let (strike, struck) = mpsc::unbounded_channel();
        let mut running = actix::spawn(run_with_faults(context.into_future(actor), struck));
        self.handle.lead_to(Some(Living { addr, life: life.clone() }));
        if self.spec.healthy_when_started {
            life.healthy();
        }
        loop {
            tokio::select! {
                ended = &mut running => return End::Exited(match ended {
                    Ok(()) => life.take_exit(),
                    Err(error) => match error.try_into_panic() {
                        Ok(panic) => Exit::Panicked(panic_message(panic.as_ref())),
                        Err(_) => Exit::Stopped,
                    },
                }),
                Some(fault) = self.faults.recv() => {
                    // Fails only where the actor has just ended.
                    let _ = strike.send(fault);
                }
                _ = self.stopping.changed() => {
                    running.abort();
                    // Waits until the actor is dropped, and with it what it owns.
                    let _ = running.await;
                    return End::StopAsked;
                }
                () = life.became_healthy() => self.note_recovery(life),
            }
        }
    }

    fn note_exit(&mut self, generation: u64, exit: &Exit, delay: Duration) {
        let retry_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        let actor = &self.spec.name;
        log::warn!(
            "event=restart actor={actor} generation={generation} cause={:?} retry_in_ms={retry_ms}",
            exit.to_string(),
        );
        self.shared.restarts.get_or_create(&[("actor", actor.clone())]).inc();
        let timeline = &self.shared.timeline;
        match self.incident {
            Some(incident) => timeline.again(incident),
            None => {
                let kind = match exit {
                    Exit::Lost(_) if self.spec.is_link => IncidentKind::Link,
                    _ => IncidentKind::Actor,
                };
                let begun = timeline.begin_at_generation(kind, actor, &exit.to_string(), Some(generation));
                self.incident = Some(begun);
            }
        }
        self.show(|progress| {
            progress.status = ActorStatus::Restarting;
            progress.restarts += 1;
            progress.last_cause = Some(exit.clone());
            progress.next_attempt_at = Some(Timestamp::now() + delay);
        });
    }

    fn note_recovery(&mut self, life: &Life) {
        self.show(|progress| progress.status = ActorStatus::Running);
        let actor = &self.spec.name;
        let generation = life.generation();
        log::info!("event=running actor={actor} generation={generation}");
        if let Some(incident) = self.incident.take() {
            self.shared.timeline.end(incident);
        }
    }

    fn show(&self, change: impl FnOnce(&mut Progress)) {
        // A panic while the lock is held leaves whole values behind.
        change(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Polls the actor until it ends or a fault ends it; faults strike in the actor's own task.
async fn run_with_faults(
    mut actor: impl Future<Output = ()> + Unpin,
    mut faults: mpsc::UnboundedReceiver<Fault>,
) {
    let mut stalled = Duration::ZERO;
    loop {
        // The guardian keeps the sender as long as the actor lives.
        let stall = std::mem::take(&mut stalled);
        let going_on = async {
            if !stall.is_zero() {
                tokio::time::sleep(stall).await;
            }
            (&mut actor).await;
        };
        match select(pin!(faults.recv()), pin!(going_on)).await {
            Either::Left((Some(Fault::Panic), _)) => panic!("injected by a fault request"),
            Either::Left((Some(Fault::Stop) | None, _)) | Either::Right(_) => return,
            Either::Left((Some(Fault::Stall(time)), _)) => stalled = time,
        }
    }
}
