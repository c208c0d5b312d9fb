//! The thread that commits: it takes one batch after the other and waits for the disk.

use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use redb::Database;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::plan::Plan;
use super::{Change, StoreError};

/// A batch that is on disk, or why it is not.
pub(super) type Outcome = Result<Vec<Change>, StoreError>;

/// The way to the thread; dropping it ends the thread, after what was handed over, and waits for it.
pub(super) struct Writer {
    batches: Option<mpsc::Sender<Vec<Change>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts the thread on a file that holds `stored` bytes of messages.
    pub(super) fn start(
        database: Arc<Database>,
        stored: u64,
        repaired_by_reading: u64,
    ) -> Result<(Self, UnboundedReceiver<Outcome>), StoreError> {
        let (batches, incoming) = mpsc::channel();
        let (outcomes, reported) = unbounded_channel();
        let file = File { database, stored, repaired_by_reading };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || write_until_closed(file, &incoming, &outcomes))
            .map_err(|cause| StoreError::Thread(Arc::new(cause)))?;
        Ok((Self { batches: Some(batches), thread: Some(thread) }, reported))
    }

    /// Hands over a batch.
    pub(super) fn write(&self, batch: Vec<Change>) {
        if let Some(batches) = &self.batches {
            // Where the thread has ended, the outcome that it sent last says why.
            let _ = batches.send(batch);
        }
    }

    /// Waits until all that was handed over has an outcome.
    pub(super) fn finish(mut self) -> Result<(), StoreError> {
        self.end()
    }

    fn end(&mut self) -> Result<(), StoreError> {
        self.batches = None;
        let ended = self.thread.take().map_or(Ok(()), JoinHandle::join);
        ended.map_err(|_| StoreError::WriterEnded)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // A panic has been printed.
        let _ = self.end();
    }
}

fn write_until_closed(
    mut file: File,
    batches: &mpsc::Receiver<Vec<Change>>,
    outcomes: &UnboundedSender<Outcome>,
) {
    for batch in batches {
        let outcome = file.commit(&batch).map(|()| batch);
        let failed = outcome.is_err();
        // Nobody listens where the store is being closed.
        let _ = outcomes.send(outcome);
        if failed {
            break;
        }
    }
}

struct File {
    database: Arc<Database>,
    stored: u64,
    repaired_by_reading: u64,
}

impl File {
    /// Returns once the batch is on disk.
    fn commit(&mut self, batch: &[Change]) -> Result<(), StoreError> {
        let plan = Plan::of(batch);
        if plan.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin_write()?;
        let stored = plan.carry_out(&transaction, self.stored)?;
        transaction.set_quick_repair(stored > self.repaired_by_reading);
        transaction.commit()?;
        self.stored = stored;
        Ok(())
    }
}
