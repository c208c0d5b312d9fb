//! What is on its way to the disk, and who waits for it.
//!
//! One batch is being written while the next one is collected, so the more there is to do, the more goes into one commit.

use std::fmt;
use std::process;
use std::rc::Rc;
use std::sync::Arc;

use tokio::sync::watch;

use super::Message;
use super::channel::Seat;
use super::store::{Change, Position, QueueId, Store};

/// What a change costs in memory beside its message, about.
const CHANGE: usize = 256;

/// A published message whose publisher waits for a confirm.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The channel that it came over.
    pub seat: Seat,
    /// Its number there, where the channel has confirms.
    pub number: Option<u64>,
    /// Where it was published to, for the rules of a tester.
    pub exchange: Box<str>,
    /// By which key.
    pub routing_key: Box<str>,
}

/// What happens when a batch is on disk.
#[derive(Debug, Default)]
pub struct Consequences {
    /// Confirms to be sent.
    pub confirms: Vec<Pending>,
    /// Channels whose acknowledgements are on disk, and the queues that they are about; only kept while there are rules.
    pub acknowledged: Vec<(Seat, Rc<str>)>,
}

impl Consequences {
    fn is_empty(&self) -> bool {
        self.confirms.is_empty() && self.acknowledged.is_empty()
    }
}

/// The batch that is collected, and the one that is written.
pub struct Journal {
    store: Rc<Store>,
    batch: Vec<Change>,
    consequences: Consequences,
    bytes: usize,
    written: Option<(Consequences, usize)>,
    number: u64,
    committed: watch::Sender<u64>,
}

impl Journal {
    /// An empty one for this store.
    pub fn new(store: Rc<Store>) -> Self {
        Self {
            store,
            batch: Vec::new(),
            consequences: Consequences::default(),
            bytes: 0,
            written: None,
            number: 1,
            committed: watch::Sender::new(0),
        }
    }

    /// Adds a change to the batch that is collected.
    pub fn add(&mut self, change: Change) {
        self.bytes += CHANGE;
        if let Change::Insert { message, .. } = &change {
            self.bytes += message.size();
        }
        self.batch.push(change);
    }

    /// Adds what is to happen when the batch that is collected is on disk.
    pub fn then(&mut self) -> &mut Consequences {
        &mut self.consequences
    }

    /// The number of the batch that has the last change.
    pub fn last_number(&self) -> u64 {
        if self.batch.is_empty() { self.number - 1 } else { self.number }
    }

    /// About how many bytes are in memory because they are not on disk.
    pub fn unwritten_bytes(&self) -> usize {
        self.bytes + self.written.as_ref().map_or(0, |(_, bytes)| *bytes)
    }

    /// Changes whenever a batch is on disk, to its number.
    pub fn committed(&self) -> watch::Receiver<u64> {
        self.committed.subscribe()
    }

    /// Hands the batch over, where none is being written and there is something to do.
    pub fn write(&mut self) {
        if self.written.is_some() || self.batch.is_empty() && self.consequences.is_empty() {
            return;
        }
        self.store.write(std::mem::take(&mut self.batch));
        self.written = Some((std::mem::take(&mut self.consequences), std::mem::take(&mut self.bytes)));
        self.number += 1;
    }

    /// The batch that was handed over is on disk: what follows from it.
    pub fn written(&mut self) -> Consequences {
        let consequences = self.written.take().map(|(consequences, _)| consequences).unwrap_or_default();
        self.committed.send_replace(self.number - 1);
        consequences
    }

    /// Whether nothing is on its way.
    pub fn is_idle(&self) -> bool {
        self.written.is_none() && self.batch.is_empty()
    }

    /// Loads messages of a queue that are on disk only, from this position on: so many, or fewer where they are large.
    ///
    /// Ends the process where the first of them cannot be read, as a disk that cannot be written does: a broker that goes
    /// on without a message has lost it.
    pub fn load(
        &self,
        queue: QueueId,
        from: Position,
        most: usize,
        most_bytes: usize,
    ) -> Vec<(Position, Arc<Message>)> {
        match self.store.load(queue, from, most, most_bytes) {
            Ok(messages) if messages.first().is_some_and(|(position, _)| *position == from) => messages,
            Ok(_) => give_up(format_args!("queue {queue} has no message at position {from}")),
            Err(error) => give_up(crate::command::with_causes(&error)),
        }
    }
}

fn give_up(why: impl fmt::Display) -> ! {
    log::error!("event=not_loaded reason=\"{why}\"");
    process::exit(1)
}
