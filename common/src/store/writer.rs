//! The thread that commits: it takes what has gathered, runs it in one transaction, and waits for the disk.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    Command, Importance, Shortage, StoreConfig, StoreError, StoreKind, Transaction,
    engine::{Engine, Pending},
};
use crate::event::Envelope;

/// Most commands in one commit: enough to spread the wait for the disk, few enough to answer soon.
const BATCH: usize = 512;

/// Most commands that wait or run.
const IN_FLIGHT: usize = 4096;

/// What a commit held and cost.
pub(super) struct Committed {
    pub(super) commands: usize,
    pub(super) events: Vec<Envelope>,
    pub(super) took: Duration,
}

/// The way to the writer thread; dropping it ends the thread and waits for it.
///
/// Only the thread keeps the file open. So where a panic drops everything else, the file is still closed by a
/// thread that does not unwind; redb leaves a file that is closed while unwinding to be repaired, which means
/// reading all of it.
pub(super) struct Writer {
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    permits: Arc<Semaphore>,
    room: Room,
}

/// What a command does in the transaction; the second part answers the caller once the commit is decided.
type Work = Box<dyn FnOnce(&mut Transaction<'_>) -> Result<Answer, StoreError> + Send>;
type Answer = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

struct Job {
    work: Work,
    permit: OwnedSemaphorePermit,
}

impl Writer {
    /// Starts the thread. `failed` is called when it cannot go on, and it takes no further commands then.
    pub(super) fn start(
        config: &StoreConfig,
        engine: Engine,
        shortage: Shortage,
        committed: impl Fn(Committed) + Send + 'static,
        failed: impl FnOnce(StoreError) + Send + 'static,
    ) -> Result<Self, StoreError> {
        let (jobs, incoming) = mpsc::channel();
        let room = Room::new(config, engine.pending_events(), shortage);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || {
                if let Err(error) = write_until_closed(&incoming, &engine, committed) {
                    failed(error);
                }
            })
            .map_err(|error| StoreError::Io(format!("cannot start the writer: {error}")))?;
        let permits = Arc::new(Semaphore::new(IN_FLIGHT));
        Ok(Self { jobs: Some(jobs), thread: Some(thread), permits, room })
    }

    /// Queues `command` for the next commit and returns the way to its outcome.
    pub(super) fn submit<C: Command>(
        &self,
        command: C,
    ) -> impl Future<Output = Result<C::Outcome, StoreError>> + 'static {
        let (answer, answered) = oneshot::channel();
        let submitted = self.queue(command, answer);
        async move {
            submitted?;
            // The writer drops the sender only where it ended before it knew.
            answered.await.unwrap_or(Err(StoreError::Unknown))
        }
    }

    fn queue<C: Command>(
        &self,
        command: C,
        answer: oneshot::Sender<Result<C::Outcome, StoreError>>,
    ) -> Result<(), StoreError> {
        self.room.check(C::IMPORTANCE)?;
        let permit = self.permits.clone().try_acquire_owned().map_err(|_| StoreError::Overloaded)?;
        let work: Work = Box::new(move |transaction| {
            let before = transaction.writes();
            match command.execute(transaction) {
                Ok(outcome) => Ok(Box::new(move |committed: Result<(), StoreError>| {
                    // Nobody waits any more where the client went away.
                    let _ = answer.send(committed.map(|()| outcome));
                })),
                Err(error) => {
                    let harmless = matches!(error, StoreError::Corrupt(_)) && transaction.writes() == before;
                    let _ = answer.send(Err(error.clone()));
                    if harmless { Ok(Box::new(|_| ())) } else { Err(error) }
                }
            }
        });
        let job = Job { work, permit };
        self.jobs.as_ref().and_then(|jobs| jobs.send(job).ok()).ok_or(StoreError::Restarting)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // The file must be closed before the next generation opens it. A panic there was logged already.
            let _ = thread.join();
        }
    }
}

fn write_until_closed(
    incoming: &mpsc::Receiver<Job>,
    engine: &Engine,
    committed: impl Fn(Committed),
) -> Result<(), StoreError> {
    while let Ok(first) = incoming.recv() {
        let mut jobs = vec![first];
        jobs.extend(incoming.try_iter().take(BATCH - 1));
        let (commands, started) = (jobs.len(), Instant::now());
        let mut answers = Vec::with_capacity(commands);
        let mut permits = Vec::with_capacity(commands);
        let outcome = engine.transact(now(), |transaction| {
            for job in jobs {
                permits.push(job.permit);
                answers.push((job.work)(transaction)?);
            }
            Ok(())
        });
        let decided = outcome.clone().map(drop);
        for answer in answers {
            answer(decided.clone());
        }
        let events = match outcome {
            Ok(events) => events,
            Err(error @ (StoreError::Io(_) | StoreError::NoRoom(_))) => return Err(error),
            // The file is sound; what was asked of it was not.
            Err(error) => {
                log::error!("event=batch_refused commands={commands} error={:?}", error.to_string());
                continue;
            }
        };
        committed(Committed { commands, events, took: started.elapsed() });
    }
    Ok(())
}

/// The time in whole milliseconds, which is as much as anybody reads.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

/// Refuses in time, so that what must go on still can.
struct Room {
    folder: Option<PathBuf>,
    reserve_bytes: u64,
    outbox_limit: u64,
    pending: Pending,
    shortage: Shortage,
}

impl Room {
    fn new(config: &StoreConfig, pending: Pending, shortage: Shortage) -> Self {
        let on_disk = config.kind == StoreKind::Redb;
        Self {
            folder: on_disk.then(|| config.folder.clone()),
            reserve_bytes: config.reserve_bytes,
            outbox_limit: config.outbox_limit,
            pending,
            shortage,
        }
    }

    fn check(&self, importance: Importance) -> Result<(), StoreError> {
        if self.shortage.lasts_at(Instant::now()) {
            return Err(StoreError::DiskFull);
        }
        if importance == Importance::Upkeep {
            return Ok(());
        }
        if importance == Importance::Request && self.pending.count() >= self.outbox_limit {
            return Err(StoreError::OutboxFull);
        }
        let Some(folder) = &self.folder else { return Ok(()) };
        // About a microsecond; a disk that cannot be asked shows itself at the commit.
        match rustix::fs::statvfs(folder) {
            Ok(disk) if disk.f_bavail.saturating_mul(disk.f_frsize) < self.reserve_bytes => {
                Err(StoreError::DiskFull)
            }
            _ => Ok(()),
        }
    }
}
