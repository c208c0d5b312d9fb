use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use actix::{
    Actor, ActorContext, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult,
    ResponseFuture, fut,
};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{
    Command, Importance, Query, Shortage, StoreConfig, StoreError, StoreMetrics, Transaction,
    engine::Engine,
    idempotency::IDEMPOTENCY,
    inbox::INBOX,
    spans,
    writer::{Committed, Writer},
};
use crate::{
    event::Envelope,
    supervision::{AskError, Handle, Life, Observe},
};

/// How often it is looked for expired records.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How many expired records of a kind one commit removes.
const SWEEP_LIMIT: usize = 1000;

/// How soon the next of them are removed where more have expired: as fast as they can come, and still leaving the
/// writer to the others most of the time.
const SWEEP_AGAIN: Duration = Duration::from_millis(100);

/// Owns a service's store and is the only one to change it.
pub struct Repository {
    // Before the writer, which is to be the last that has the file open.
    engine: Engine,
    writer: Writer,
    totals: Arc<Totals>,
    life: Life,
    failed: Option<oneshot::Receiver<StoreError>>,
    kind: super::StoreKind,
}

#[derive(Default)]
struct Totals {
    commits: AtomicU64,
    commands: AtomicU64,
}

impl Repository {
    /// Opens the store. `on_events` is called with the events that a commit left, on the writer's thread.
    ///
    /// # Errors
    /// When the file cannot be opened, for one because another process has it open.
    pub fn open(
        service: &str,
        config: &StoreConfig,
        metrics: StoreMetrics,
        shortage: Shortage,
        on_events: impl Fn(Vec<Envelope>) + Send + 'static,
        life: Life,
    ) -> Result<Self, StoreError> {
        let engine = Engine::open(config, service).inspect_err(|error| end(&life, error))?;
        metrics.waiting(engine.pending(), engine.oldest_event());
        let totals = Arc::new(Totals::default());
        let (fail, failed) = oneshot::channel();
        let (counted, observed) = (totals.clone(), engine.clone());
        let committed = move |commit: Committed| {
            counted.commits.fetch_add(1, Ordering::Relaxed);
            counted.commands.fetch_add(commit.commands as u64, Ordering::Relaxed);
            metrics.waiting(observed.pending(), observed.oldest_event());
            metrics.committed(commit.commands, commit.took.as_secs_f64());
            if !commit.events.is_empty() {
                on_events(commit.events);
            }
        };
        let short = shortage.clone();
        let failure = move |error| {
            if matches!(error, StoreError::NoRoom(_)) {
                short.noted_at(Instant::now());
            }
            // The actor is gone already where nobody listens.
            let _ = fail.send(error);
        };
        let writer = Writer::start(config, engine.clone(), shortage, committed, failure)?;
        Ok(Self { engine, writer, totals, life, failed: Some(failed), kind: config.kind })
    }

    /// Returns the first events that wait for the broker, without those that cannot be read.
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn pending_events(&self, limit: usize) -> Result<Vec<Envelope>, StoreError> {
        let page = self.engine.snapshot()?.outbox_after(0, limit)?;
        Ok(page.rows.into_iter().map(|row| row.envelope).collect())
    }

    /// Removes what has expired, and looks again: soon where there was more, else after a while.
    fn sweep(&mut self, context: &mut Context<Self>) {
        let swept = fut::wrap_future::<_, Self>(self.writer.submit(Sweep));
        context.spawn(swept.map(|swept, _, context| {
            let next = match swept {
                Ok(Swept { more: true }) => SWEEP_AGAIN,
                Ok(Swept { more: false }) => SWEEP_EVERY,
                Err(error) => {
                    log::warn!("event=sweep_failed error={:?}", error.to_string());
                    SWEEP_EVERY
                }
            };
            context.run_later(next, Self::sweep);
        }));
    }
}

impl Actor for Repository {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.sweep(context);
        let Some(failed) = self.failed.take() else { return };
        context.spawn(fut::wrap_future::<_, Self>(failed).map(|failed, repository, context| {
            match failed {
                Ok(error) => end(&repository.life, &error),
                Err(_) => repository.life.failed("the writer ended"),
            }
            context.stop();
        }));
    }
}

/// Carries out a command; replies once it is on disk.
pub struct Write<C>(pub C);

impl<C: Command> Message for Write<C> {
    type Result = Result<C::Outcome, StoreError>;
}

impl<C: Command> Handler<Write<C>> for Repository {
    type Result = ResponseFuture<Result<C::Outcome, StoreError>>;

    fn handle(&mut self, Write(command): Write<C>, _: &mut Self::Context) -> Self::Result {
        Box::pin(self.writer.submit(command))
    }
}

/// Answers a query from the last commit.
pub struct Read<Q>(pub Q);

impl<Q: Query> Message for Read<Q> {
    type Result = Result<Q::Answer, StoreError>;
}

impl<Q: Query> Handler<Read<Q>> for Repository {
    type Result = MessageResult<Read<Q>>;

    fn handle(&mut self, Read(query): Read<Q>, _: &mut Self::Context) -> Self::Result {
        let answer = self.engine.snapshot().and_then(|snapshot| query.answer(&snapshot));
        if let Err(StoreError::Io(_)) = &answer {
            // After one failure the open file fails at everything. The writer finds that out, and says why it ends,
            // unless it has just ended itself: then its reason counts.
            drop(self.writer.submit(Sweep));
        }
        MessageResult(answer)
    }
}

/// What the repository shows of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RepositoryState {
    store: &'static str,
    commits: u64,
    commands: u64,
    outbox_pending: u64,
}

impl Handler<Observe> for Repository {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&RepositoryState {
            store: match self.kind {
                super::StoreKind::Redb => "redb",
                super::StoreKind::Memory => "memory",
            },
            commits: self.totals.commits.load(Ordering::Relaxed),
            commands: self.totals.commands.load(Ordering::Relaxed),
            outbox_pending: self.engine.pending(),
        })
    }
}

/// Removes a bounded number of expired inbox and idempotency records.
struct Sweep;

struct Swept {
    /// Whether more may have expired.
    more: bool,
}

impl Command for Sweep {
    type Outcome = Swept;

    const IMPORTANCE: Importance = Importance::Upkeep;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Swept, StoreError> {
        let inbox = INBOX.sweep(transaction, SWEEP_LIMIT)?;
        let idempotency = IDEMPOTENCY.sweep(transaction, SWEEP_LIMIT)?;
        Ok(Swept { more: inbox.max(idempotency) == SWEEP_LIMIT })
    }
}

/// The way to a service's repository.
#[derive(Clone, Debug)]
pub struct RepositoryHandle {
    handle: Handle<Repository>,
    deadline: Duration,
}

impl RepositoryHandle {
    /// Waits at most `deadline` for every answer.
    pub fn new(handle: Handle<Repository>, deadline: Duration) -> Self {
        Self { handle, deadline }
    }

    /// Carries out `command`; returns once it is on disk.
    ///
    /// # Errors
    /// Nothing was changed, unless [`RepositoryError::is_unknown`].
    pub async fn write<C: Command>(&self, command: C) -> Result<C::Outcome, RepositoryError> {
        let span = spans::committing::<C>();
        let asked = self.handle.ask(Write(command), self.deadline).await.map_err(RepositoryError::Ask);
        let outcome = asked.and_then(|answer| answer.map_err(RepositoryError::Store));
        spans::committed(span, &outcome);
        outcome
    }

    /// Looks something up.
    ///
    /// # Errors
    /// When the repository is restarting, late, or cannot read the store.
    pub async fn read<Q: Query>(&self, query: Q) -> Result<Q::Answer, RepositoryError> {
        self.handle
            .ask(Read(query), self.deadline)
            .await
            .map_err(RepositoryError::Ask)?
            .map_err(RepositoryError::Store)
    }

    /// Whether the repository works.
    pub fn is_healthy(&self) -> bool {
        self.handle.is_healthy()
    }
}

/// Why a repository gave no outcome.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RepositoryError {
    /// It could not be asked, or did not answer.
    Ask(AskError),
    /// It was asked, and the store failed or refused.
    Store(StoreError),
}

impl RepositoryError {
    /// Whether a command may have been carried out all the same. Says nothing of a query, which changes nothing.
    pub fn is_unknown(&self) -> bool {
        match self {
            Self::Ask(AskError::Restarting { .. }) => false,
            Self::Ask(_) => true,
            // A commit that failed may still have reached the disk.
            Self::Store(error) => {
                matches!(error, StoreError::Unknown | StoreError::Io(_) | StoreError::NoRoom(_))
            }
        }
    }

    /// Whether asking again a little later may well succeed.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Ask(_) => true,
            Self::Store(error) => error.is_transient(),
        }
    }
}

impl fmt::Display for RepositoryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ask(error) => error.fmt(f),
            Self::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RepositoryError {}

/// Says why this generation ends. A disk without room is nothing that the repository or a new process could
/// mend, so it never escalates: reads go on between the attempts to write.
fn end(life: &Life, error: &StoreError) {
    match error {
        StoreError::NoRoom(_) => life.lost(error.to_string()),
        _ => life.failed(error.to_string()),
    }
}
