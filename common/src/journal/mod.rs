//! A bounded log of JSON lines in a folder: for what is worth remembering, and not worth a transaction.
//!
//! *Owns*: the folder's segments, and a thread that writes them.
//! *Receives*: entries, which cost whoever records them no more than a channel's `send`.
//! *Sends*: nothing.
//! *When it fails*: entries are dropped and counted, which is logged once until all is written again; nothing else suffers.
//!
//! Lines are appended to the newest segment; a full one is followed by another, and the oldest goes. Nothing waits for
//! the disk: what was written survives the end of the process, however it ends, and not that of the machine's power.

mod cut;
mod pulse;
mod reader;
mod segments;
mod writer;

pub use cut::cut;
pub use reader::Lines;

use std::{
    marker::PhantomData,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc,
    },
    time::{Duration, Instant, SystemTime},
};

use serde::Serialize;

use pulse::Pulse;
use segments::{Place, Segments};

/// Most entries that wait to be written.
const WAITING: u64 = 65_536;

/// How much a journal keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of a segment, after which the next one begins.
    pub segment: u64,
    /// How many segments are kept, the newest included.
    pub segments: usize,
    /// Free bytes of the disk below which nothing is written: others need them more.
    pub reserve: u64,
}

/// The way to a journal; cheap to clone. Its thread ends with the last clone, once all is written.
pub struct Journal<T> {
    entries: mpsc::Sender<Vec<T>>,
    shared: Arc<Shared>,
    _entry: PhantomData<fn(T)>,
}

struct Shared {
    name: &'static str,
    place: Place,
    waiting: AtomicU64,
    dropped: AtomicU64,
    /// Whether the last entries found no room.
    overrun: AtomicBool,
}

impl<T: Serialize + Send + 'static> Journal<T> {
    /// Opens the journal in `folder`, which is made where it is missing; without one, keeps it in memory.
    ///
    /// A folder that cannot be used is logged, and the journal is kept in memory instead.
    pub fn open(name: &'static str, folder: Option<&Path>, bounds: Bounds) -> Self {
        let (segments, place) = Segments::open(name, folder, bounds);
        Self::write(name, segments, place, None)
    }

    /// Does the same, and gives a sign of life in the folder every second from now on; returns also when whoever had the
    /// journal before gave its last one.
    pub fn open_alive(
        name: &'static str,
        folder: Option<&Path>,
        bounds: Bounds,
    ) -> (Self, Option<SystemTime>) {
        let (segments, place) = Segments::open(name, folder, bounds);
        let (pulse, last) = match &place {
            Place::Folder(folder) => Some(Pulse::begin(folder)).unzip(),
            Place::Memory(_) => (None, None),
        };
        (Self::write(name, segments, place, pulse), last.flatten())
    }

    fn write(name: &'static str, segments: Segments, place: Place, pulse: Option<Pulse>) -> Self {
        let shared = Arc::new(Shared {
            name,
            place,
            waiting: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            overrun: AtomicBool::new(false),
        });
        let (entries, incoming) = mpsc::channel();
        let counted = shared.clone();
        let written = std::thread::Builder::new().name("journal".to_owned()).spawn(move || {
            writer::write_until_closed(name, &incoming, segments, pulse, |count, written| {
                counted.waiting.fetch_sub(count, Ordering::Relaxed);
                if !written {
                    counted.dropped.fetch_add(count, Ordering::Relaxed);
                }
            });
        });
        if let Err(error) = written {
            log::error!("event=journal_not_written journal={name} error={:?}", error.to_string());
        }
        Self { entries, shared, _entry: PhantomData }
    }

    /// Hands `entries` over to be written, in their order. Never waits: where too many wait already, they are dropped.
    pub fn record(&self, entries: Vec<T>) {
        let count = entries.len() as u64;
        let shared = &self.shared;
        let room = shared.waiting.fetch_add(count, Ordering::Relaxed) + count <= WAITING;
        if room && self.entries.send(entries).is_ok() {
            if shared.overrun.load(Ordering::Relaxed) {
                shared.overrun.store(false, Ordering::Relaxed);
            }
            return;
        }
        shared.waiting.fetch_sub(count, Ordering::Relaxed);
        shared.dropped.fetch_add(count, Ordering::Relaxed);
        if !shared.overrun.swap(true, Ordering::Relaxed) {
            log::warn!(
                "event=journal_overrun journal={} meaning=\"what happens is not remembered\"",
                shared.name
            );
        }
    }

    /// Waits until what was recorded is written, or `within` is over; for the end of a process.
    pub fn flush(&self, within: Duration) {
        let end = Instant::now() + within;
        while self.shared.waiting.load(Ordering::Relaxed) > 0 && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// How many entries were dropped, because the disk failed or did not keep up.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Reads what is written, a segment at a time; blocks on the disk.
    pub fn lines(&self) -> Lines<'_> {
        Lines::new(&self.shared.place)
    }
}

impl<T> Clone for Journal<T> {
    fn clone(&self) -> Self {
        Self { entries: self.entries.clone(), shared: self.shared.clone(), _entry: PhantomData }
    }
}

impl<T> std::fmt::Debug for Journal<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Journal").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
