//! The way of each event, from the request that caused it to its effect: which step, when, in which process and
//! generation.
//!
//! Every service keeps the steps that it took part in, in a [journal](crate::journal) of its own; whoever asks the
//! services one after the other has the whole way. The newest steps are kept, at least those of the last 100,000 events
//! by default.
//!
//! A process that is killed may take the steps of its last milliseconds with it. What had been committed by then is
//! found in the outbox, and its first step is written again by the next process.

mod entry;
mod search;

pub use entry::{LedgerEvent, Step, StepKind};

use std::{
    fmt, io,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use tokio::sync::Semaphore;

use crate::{
    broker::{Delivery, PublishOutcome},
    config::Environment,
    event::{Envelope, EventId},
    journal::{Bounds, Journal},
    telemetry::metrics::{AtScrape, Registry},
};
use entry::Entry;

/// How many segments a ledger has on disk.
const SEGMENTS: u64 = 32;

/// How many searches run at the same time; each reads all of the disk's part.
const SEARCHES: usize = 1;

/// How many more may wait for their turn.
const WAITING: usize = 16;

/// How long before its end a process may have committed what it did not come to note.
const FOUND: Duration = Duration::from_secs(10);

/// How much a ledger keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerConfig {
    /// Bytes on disk. An event takes about 700 where it is published and 580 where it is consumed.
    pub bytes: u64,
}

impl LedgerConfig {
    /// Reads `LEDGER_BYTES`.
    pub fn from_env(env: &mut Environment) -> Self {
        const LEAST: u64 = 1 << 20;
        let bytes = env.parse("LEDGER_BYTES", 128 << 20, "a number of bytes");
        if bytes < LEAST {
            env.mistake(format!("LEDGER_BYTES must be at least {LEAST}, not {bytes}"));
        }
        Self { bytes }
    }
}

/// Why a search found out nothing.
#[derive(Debug)]
pub enum LedgerError {
    /// Too many searches wait; a little later there is room again.
    Busy,
    /// The journal cannot be read.
    Io(io::Error),
}

impl fmt::Display for LedgerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many searches wait"),
            Self::Io(error) => write!(f, "the ledger cannot be read: {error}"),
        }
    }
}

impl std::error::Error for LedgerError {}

/// A search that waits for its turn.
struct Waiting<'a>(&'a AtomicUsize);

impl<'a> Waiting<'a> {
    fn begin(waiting: &'a AtomicUsize) -> Option<Self> {
        let place = Self(waiting);
        (waiting.fetch_add(1, Ordering::Relaxed) < WAITING).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whoever asked; when dropped, the search stops.
struct GivenUp(Arc<AtomicBool>);

impl GivenUp {
    fn new() -> (Self, Arc<AtomicBool>) {
        let stop = Arc::<AtomicBool>::default();
        (Self(stop.clone()), stop)
    }
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Which events are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// Those with these ids.
    pub events: Vec<String>,
    /// And the newest with one of these as their id, as a resource that they are about, as the request that caused them,
    /// or as its trace.
    pub about: Vec<String>,
    /// At most so many of the latter.
    pub limit: usize,
}

/// One service's ledger. Cheap to clone; recording costs a message to the thread that writes.
#[derive(Clone, Debug)]
pub struct Ledger(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: &'static str,
    journal: Journal<Entry>,
    /// When the last step of a former process was noted.
    noted_until: Option<Timestamp>,
    searches: Arc<Semaphore>,
    waiting: AtomicUsize,
}

impl Ledger {
    /// Opens the ledger of `service` below `folder`; without a folder a little of it is kept in memory.
    ///
    /// Below `reserve` free bytes of the disk nothing is written: the store needs them more.
    pub fn open(service: &'static str, folder: Option<&Path>, config: LedgerConfig, reserve: u64) -> Self {
        let bounds = match folder {
            Some(_) => Bounds { segment: config.bytes / SEGMENTS, segments: SEGMENTS as usize, reserve },
            None => Bounds { segment: 1 << 20, segments: 8, reserve: 0 },
        };
        let folder = folder.map(|folder| folder.join(format!("{service}.ledger")));
        let journal = Journal::open("ledger", folder.as_deref(), bounds);
        let noted_until = search::newest(&journal);
        let searches = Arc::new(Semaphore::new(SEARCHES));
        Self(Arc::new(Shared { service, journal, noted_until, searches, waiting: AtomicUsize::new(0) }))
    }

    /// Notes that events are on disk, as of now, by this generation of the repository.
    pub fn committed(&self, envelopes: Vec<Envelope>, generation: u64) {
        let at = Timestamp::now();
        let generation = Some(generation);
        let entry = |envelope| Entry { generation, ..Entry::committed(envelope, at) };
        self.record(envelopes.into_iter().map(entry).collect());
    }

    /// Notes events that were found in the outbox: whoever committed them may not have come to note it.
    pub fn found(&self, envelopes: Vec<Envelope>) {
        // What was committed long before the last step was noted, was noted as well.
        let since = self.0.noted_until.and_then(|until| until.checked_sub(FOUND).ok());
        let unnoted =
            envelopes.into_iter().filter(|envelope| since.is_none_or(|since| envelope.time >= since));
        let entry = |envelope: Envelope| {
            let at = envelope.time;
            Entry::committed(envelope, at)
        };
        self.record(unnoted.map(entry).collect());
    }

    /// Notes that events were handed to the broker, over a link of this generation.
    pub fn published(&self, events: &[EventId], generation: u64) {
        let at = Timestamp::now();
        let entry = |event: &EventId| Entry::of_link(StepKind::Published, event.clone(), at, generation);
        self.record(events.iter().map(entry).collect());
    }

    /// Notes what became of events that had been handed to the broker.
    pub fn settled(&self, events: Vec<EventId>, outcomes: &[PublishOutcome], generation: u64) {
        let at = Timestamp::now();
        let entries = events.into_iter().zip(outcomes).filter_map(|(event, outcome)| {
            let (step, reason) = match outcome {
                PublishOutcome::Confirmed => (StepKind::Confirmed, None),
                PublishOutcome::Unroutable => (StepKind::Unroutable, None),
                PublishOutcome::Refused => (StepKind::Refused, None),
                PublishOutcome::Unknown(reason) => (StepKind::Unknown, Some(reason.clone())),
                // Nothing of it has left.
                PublishOutcome::NotSent(_) => return None,
            };
            Some(Entry::of_link(step, event, at, generation).because(reason))
        });
        self.record(entries.collect());
    }

    /// Notes that an event came from a queue, over a link of this generation.
    pub fn delivered(&self, delivery: &Delivery, generation: u64) {
        let entry = Entry::of_link(StepKind::Delivered, delivery.id.clone(), Timestamp::now(), generation);
        self.record(vec![Entry { redelivered: Some(delivery.redelivered), ..entry.in_queue(delivery) }]);
    }

    /// Notes what a consumer of this generation made of a delivery.
    pub fn handled(&self, delivery: &Delivery, step: StepKind, reason: Option<String>, generation: u64) {
        let entry = Entry::of_event(step, delivery.id.clone(), Timestamp::now());
        let entry = Entry { generation: Some(generation), ..entry.in_queue(delivery) };
        self.record(vec![entry.because(reason)]);
    }

    /// Notes how the broker was answered about a delivery: acknowledged after its effect, or after it went to a retry
    /// queue or to the dead letters.
    pub(crate) fn answered(&self, delivery: &Delivery, answer: &str, generation: u64) {
        let step = match answer {
            "done" => StepKind::Acked,
            "dead" => StepKind::Dead,
            _ => StepKind::Retried,
        };
        let entry = Entry::of_link(step, delivery.id.clone(), Timestamp::now(), generation);
        self.record(vec![entry.in_queue(delivery)]);
    }

    /// Finds events, and the steps that this service took part in.
    ///
    /// The search ends when the future is dropped.
    ///
    /// # Errors
    /// When the journal cannot be read, or too many ask at the same time.
    pub async fn find(&self, wanted: Wanted) -> Result<Vec<LedgerEvent>, LedgerError> {
        let shared = self.0.clone();
        let permit = {
            let _waiting = Waiting::begin(&self.0.waiting).ok_or(LedgerError::Busy)?;
            // Never closed.
            self.0.searches.clone().acquire_owned().await.map_err(|_| LedgerError::Busy)?
        };
        let (given_up, stop) = GivenUp::new();
        let search = move || {
            // Until the disk is left alone, whoever waits for the answer.
            let _permit = permit;
            search::find(&shared.journal, shared.service, &wanted, &stop)
        };
        let found = tokio::task::spawn_blocking(search).await;
        drop(given_up);
        found.map_err(|error| LedgerError::Io(io::Error::other(error)))?.map_err(LedgerError::Io)
    }

    /// Registers `<service>_ledger_dropped_total`: steps that were not written down.
    pub fn register(&self, registry: &mut Registry) {
        let journal = self.0.journal.clone();
        let dropped = AtScrape::counter(move || journal.dropped() as f64);
        registry.register(
            format!("{}_ledger_dropped", self.0.service),
            "Steps of events that the ledger could not write down",
            dropped,
        );
    }

    /// Waits until all that was noted is written, or `within` is over; for the end of a process.
    pub fn flush(&self, within: Duration) {
        self.0.journal.flush(within);
    }

    fn record(&self, entries: Vec<Entry>) {
        if !entries.is_empty() {
            self.0.journal.record(entries);
        }
    }
}

#[cfg(test)]
mod tests;
