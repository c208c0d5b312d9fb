use std::{
    error::Error,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use actix::{Actor, ArbiterHandle, Context, Handler};
use futures_util::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use serde_json::Value;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    ActorReport, ActorStatus, Exit, Fault, Handle, Life, Observe, Spec,
    guardian::{Guardian, Progress},
    metrics::{self, Known},
};
use crate::{
    telemetry::metrics::{Counter, Family, Registry},
    timeline::{IncidentKind, Timeline},
};

/// How long an actor may take to answer [`Observe`] before it is shown without its own state.
const OBSERVE_DEADLINE: Duration = Duration::from_millis(500);

/// Everything that one process keeps alive. Cheap to clone.
#[derive(Clone)]
pub struct Supervisor(Arc<Shared>);

pub(super) struct Shared {
    children: Mutex<Vec<Child>>,
    escalated: watch::Sender<bool>,
    pub(super) timeline: Timeline,
    pub(super) restarts: Family<[(&'static str, String); 1], Counter>,
}

struct Child {
    name: String,
    progress: Arc<Mutex<Progress>>,
    observe: Box<dyn Fn(Duration) -> BoxFuture<'static, Option<Value>> + Send + Sync>,
    unanswered: Box<dyn Fn() -> u64 + Send + Sync>,
    faults: mpsc::Sender<Fault>,
    stop: watch::Sender<bool>,
    ended: Option<oneshot::Receiver<()>>,
}

impl Supervisor {
    /// Supervises nothing yet; counts restarts, and shows states, in `registry`, and tells restarts in `timeline`.
    pub fn new(service: &'static str, timeline: Timeline, registry: &mut Registry) -> Self {
        let restarts = Family::default();
        registry.register(format!("{service}_actor_restarts"), "Restarts by actor", restarts.clone());
        let supervisor = Self(Arc::new(Shared {
            children: Mutex::default(),
            escalated: watch::Sender::new(false),
            timeline,
            restarts,
        }));
        metrics::register(service, &supervisor, registry);
        supervisor
    }

    /// What is known of every actor without a question to any.
    pub(super) fn known(&self) -> Vec<Known> {
        let children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
        let known = |child: &Child| Known {
            actor: child.name.clone(),
            status: child.progress.lock().unwrap_or_else(PoisonError::into_inner).status,
            mailbox: (child.unanswered)(),
        };
        children.iter().map(known).collect()
    }

    /// Starts an actor on `arbiter` and keeps it alive; the factory builds every generation there.
    pub fn supervise<A, F>(&self, arbiter: &ArbiterHandle, spec: Spec, factory: F) -> Handle<A>
    where
        A: Actor<Context = Context<A>> + Handler<Observe>,
        F: FnMut(Life) -> Result<A, Box<dyn Error + Send + Sync>> + Send + 'static,
    {
        let (handle, guardian, ended) = self.adopt(spec, factory);
        // Refused only by an arbiter that was stopped, and then the process stops too.
        arbiter.spawn_fn(move || {
            actix::spawn(async move {
                guardian.run().await;
                let _ = ended.send(());
            });
        });
        handle
    }

    /// Starts an actor on the current thread, which runs a local task set, and keeps it alive there.
    pub fn supervise_here<A, F>(&self, spec: Spec, factory: F) -> Handle<A>
    where
        A: Actor<Context = Context<A>> + Handler<Observe>,
        F: FnMut(Life) -> Result<A, Box<dyn Error + Send + Sync>> + 'static,
    {
        let (handle, guardian, ended) = self.adopt(spec, factory);
        actix::spawn(async move {
            guardian.run().await;
            let _ = ended.send(());
        });
        handle
    }

    /// Asks every actor for its state; returns them in the order in which they were started.
    pub async fn report(&self) -> Vec<ActorReport> {
        self.report_within(OBSERVE_DEADLINE).await
    }

    /// As [`report`](Self::report), for somebody who waits no longer than `longest`: actors that do not answer in three
    /// quarters of that are shown without their own states, so that the rest arrives in time.
    pub async fn report_within(&self, longest: Duration) -> Vec<ActorReport> {
        let deadline = OBSERVE_DEADLINE.min(longest * 3 / 4);
        let asked: Vec<_> = {
            let children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
            children
                .iter()
                .map(|child| {
                    let (name, progress) = (child.name.clone(), child.progress.clone());
                    // Without the question that is about to be asked.
                    let mailbox = (child.unanswered)();
                    (child.observe)(deadline)
                        .map(move |observed| actor_report(name, &progress, mailbox, observed))
                })
                .collect()
        };
        join_all(asked).await
    }

    /// What has happened to the actors and to whatever else is told there.
    pub fn timeline(&self) -> &Timeline {
        &self.0.timeline
    }

    /// Injects a fault into the living generation of the named actor, which the timeline tells before what comes of it.
    ///
    /// # Errors
    /// When no actor has that name.
    pub fn inject(&self, actor: &str, fault: Fault) -> Result<(), NoSuchActor> {
        let children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
        let child = children.iter().find(|child| child.name == actor).ok_or(NoSuchActor)?;
        self.0.timeline.note(IncidentKind::Operator, actor, &format!("told to {fault}"));
        // A full channel means that a fault is already on its way.
        let _ = child.faults.try_send(fault);
        Ok(())
    }

    /// Whether some actor failed too often.
    pub fn has_escalated(&self) -> bool {
        *self.0.escalated.borrow()
    }

    /// Waits until some actor failed too often.
    pub async fn escalated(&self) {
        let mut escalated = self.0.escalated.subscribe();
        // The sender lives as long as `self`.
        let _ = escalated.wait_for(|escalated| *escalated).await;
    }

    /// Ends every actor for good, the youngest first, each dropped before the next is asked.
    pub async fn stop(&self) {
        let children = {
            let mut children = self.0.children.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *children)
        };
        for mut child in children.into_iter().rev() {
            child.stop.send_replace(true);
            if let Some(ended) = child.ended.take() {
                let _ = ended.await;
            }
        }
    }

    fn adopt<A, F>(&self, spec: Spec, factory: F) -> (Handle<A>, Guardian<A, F>, oneshot::Sender<()>)
    where
        A: Actor<Context = Context<A>> + Handler<Observe>,
        F: FnMut(Life) -> Result<A, Box<dyn Error + Send + Sync>>,
    {
        let handle = Handle::new(&spec.name);
        drop(self.0.restarts.get_or_create(&[("actor", spec.name.clone())]));
        let progress = Arc::new(Mutex::new(Progress {
            status: ActorStatus::Starting,
            life: Life::new(0),
            restarts: 0,
            last_cause: None,
            next_attempt_at: None,
        }));
        let (faults, faults_out) = mpsc::channel(1);
        let (stop, stopping) = watch::channel(false);
        let (ended, ended_out) = oneshot::channel();
        let (observed, counted) = (handle.clone(), handle.clone());
        let child = Child {
            name: spec.name.clone(),
            progress: progress.clone(),
            observe: Box::new(move |deadline| {
                let handle = observed.clone();
                async move { handle.ask(Observe, deadline).await.ok() }.boxed()
            }),
            unanswered: Box::new(move || counted.unanswered()),
            faults,
            stop,
            ended: Some(ended_out),
        };
        self.0.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        let guardian = Guardian {
            spec,
            factory,
            handle: handle.clone(),
            progress,
            faults: faults_out,
            stopping,
            shared: self.0.clone(),
            incident: None,
        };
        (handle, guardian, ended)
    }
}

impl Shared {
    pub(super) fn escalate(&self, actor: &str, cause: &Exit) {
        log::error!("event=escalated actor={actor} cause={:?}", cause.to_string());
        self.escalated.send_replace(true);
    }
}

fn actor_report(
    name: String,
    progress: &Mutex<Progress>,
    mailbox: u64,
    observed: Option<Value>,
) -> ActorReport {
    let progress = progress.lock().unwrap_or_else(PoisonError::into_inner);
    ActorReport {
        name,
        status: progress.status,
        generation: progress.life.generation(),
        restarts: progress.restarts,
        mailbox,
        last_cause: progress.last_cause.clone(),
        next_attempt_at: progress.next_attempt_at,
        observed,
    }
}

/// No actor of this process has that name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoSuchActor;

impl fmt::Display for NoSuchActor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no such actor")
    }
}

impl Error for NoSuchActor {}
