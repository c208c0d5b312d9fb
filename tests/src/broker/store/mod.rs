//! What the broker keeps on disk: one redb file of definitions and messages, written by a thread of its own.
//!
//! Owns: the file `broker.redb` in the broker's folder. The core keeps no second copy of what is only in here.
//! Receives: batches of [`Change`]s, each of which becomes one transaction; while one is on its way to the disk the core
//! collects the next, so that a busy broker waits for the disk seldom and an idle one waits for nobody.
//! Sends: every batch back as soon as it is on disk, in the order in which they came.
//! When it fails: whatever was not given back may be lost, and nothing is written any more. The broker can only end, and
//! be started again from what is on disk.

mod changes;
mod error;
mod plan;
mod recovery;
mod tables;
#[cfg(test)]
mod tests;
mod writer;

pub use changes::{Change, Position, QueueId};
pub use error::StoreError;
pub use recovery::{Recovered, RecoveredMessage, RecoveredQueue};

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadableDatabase};
use tokio::sync::Mutex;
use tokio::sync::mpsc::UnboundedReceiver;

use super::Message;
use tables::MESSAGES;
use writer::{Outcome, Writer};

/// Bytes of messages up to which a file is repaired by reading them all, which takes a few milliseconds. From here on
/// every commit waits for the disk twice, and the file opens at once however much is in it.
const REPAIRED_BY_READING: u64 = 2 << 20;

/// The open file.
pub struct Store {
    // Before the file: its thread ends first, and what was handed over is written.
    writer: Writer,
    /// Of all who wait, one hears of a batch; the broker has one.
    outcomes: Mutex<Outcomes>,
    database: Arc<Database>,
}

struct Outcomes {
    reported: UnboundedReceiver<Outcome>,
    failed: Option<StoreError>,
}

impl Store {
    /// Opens the file in `folder`, both made where they are missing, and reads what the broker must know to go on.
    ///
    /// # Errors
    ///
    /// The folder cannot be made or written, another broker uses it, or the file is damaged.
    pub fn open(folder: &Path) -> Result<(Self, Recovered), StoreError> {
        Self::start(tables::open(folder)?, REPAIRED_BY_READING)
    }

    fn start(database: Database, repaired_by_reading: u64) -> Result<(Self, Recovered), StoreError> {
        let recovered = recovery::read(&database)?;
        let database = Arc::new(database);
        let (writer, outcomes) = Writer::start(database.clone(), recovered.stored(), repaired_by_reading)?;
        let outcomes = Mutex::new(Outcomes { reported: outcomes, failed: None });
        Ok((Self { writer, outcomes, database }, recovered))
    }

    /// Hands a batch to the writer thread and does not wait. [`Store::committed`] gives it back.
    ///
    /// After an error of [`Store::committed`] it goes nowhere.
    pub fn write(&self, batch: Vec<Change>) {
        self.writer.write(batch);
    }

    /// Waits until the oldest batch that was not given back yet is on disk, and gives it back. Waits for ever while there
    /// is none. Nothing is lost where the wait is dropped.
    ///
    /// # Errors
    ///
    /// The batch could not be written. The error is final: nothing that was not given back before will be.
    pub async fn committed(&self) -> Result<Vec<Change>, StoreError> {
        let mut outcomes = self.outcomes.lock().await;
        if let Some(error) = &outcomes.failed {
            return Err(error.clone());
        }
        // The thread says why it ends, except where it panicked.
        let outcome = outcomes.reported.recv().await.unwrap_or(Err(StoreError::WriterEnded));
        outcomes.failed = outcome.as_ref().err().cloned();
        outcome
    }

    /// Reads up to `most` messages of a queue that are on disk, from this position on, and no more than fit into so many
    /// bytes, but for the first. Waits for the disk.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or what is in it is no message.
    pub fn load(
        &self,
        queue: QueueId,
        from: Position,
        most: usize,
        most_bytes: usize,
    ) -> Result<Vec<(Position, Arc<Message>)>, StoreError> {
        let messages = self.database.begin_read()?.open_table(MESSAGES)?;
        let rows = messages.range((queue, from)..=(queue, Position::MAX))?;
        let (mut loaded, mut bytes) = (Vec::new(), 0);
        for row in rows.take(most) {
            let (key, value) = row?;
            let ((_, position), (_, record)) = (key.value(), value.value());
            bytes += record.len();
            if bytes > most_bytes && !loaded.is_empty() {
                break;
            }
            let message = Message::from_record(record).map_err(|cause| StoreError::BadRecord {
                queue,
                position,
                cause,
            })?;
            loaded.push((position, Arc::new(message)));
        }
        Ok(loaded)
    }

    /// Writes what was handed over and closes the file.
    ///
    /// # Errors
    ///
    /// Something that was handed over is not on disk.
    pub fn close(self) -> Result<(), StoreError> {
        let Self { writer, outcomes, database } = self;
        let Outcomes { mut reported, failed } = outcomes.into_inner();
        writer.finish()?;
        while let Ok(outcome) = reported.try_recv() {
            outcome?;
        }
        if let Some(error) = failed {
            return Err(error);
        }
        // The thread has ended, so that nobody else holds it.
        Arc::into_inner(database).map_or(Ok(()), |database| Ok(database.close()?))
    }
}
