use super::{Command, Importance, Query, Snapshot, StoreError, Transaction};
use crate::event::Envelope;

/// An event that waits for the broker.
#[derive(Clone, Debug)]
pub struct OutboxRow {
    /// Orders the rows; never used twice.
    pub number: u64,
    /// The event.
    pub envelope: Envelope,
}

/// A row that this binary cannot read, because its bytes were damaged or a later version wrote them. It stays where it is.
#[derive(Clone, Debug)]
pub struct UnreadableRow {
    /// Where it stands among the others.
    pub number: u64,
    /// What is wrong with it.
    pub error: StoreError,
}

/// A part of the outbox.
#[derive(Clone, Debug, Default)]
pub struct OutboxPage {
    /// What can be read, oldest first.
    pub rows: Vec<OutboxRow>,
    /// What cannot, which is to hold nothing up.
    pub unreadable: Vec<UnreadableRow>,
}

impl OutboxPage {
    /// How many rows there are, those that cannot be read included.
    pub fn len(&self) -> usize {
        self.rows.len() + self.unreadable.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The highest number; `None` where the page is empty.
    pub fn last(&self) -> Option<u64> {
        let read = self.rows.last().map(|row| row.number);
        read.max(self.unreadable.last().map(|row| row.number))
    }
}

/// Asks for waiting events, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct PendingEvents {
    /// Only those with a higher number.
    pub after: u64,
    /// At most so many, those that cannot be read included.
    pub limit: usize,
}

impl Query for PendingEvents {
    type Answer = OutboxPage;

    fn answer(self, snapshot: &Snapshot) -> Result<OutboxPage, StoreError> {
        snapshot.outbox_after(self.after, self.limit)
    }
}

/// Asks how many events wait for the broker.
#[derive(Clone, Copy, Debug)]
pub struct OutboxDepth;

/// How many events wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxDepthAnswer {
    /// So many.
    pub waiting: u64,
    /// The number of the last of them; 0 where none waits.
    pub last: u64,
}

impl Query for OutboxDepth {
    type Answer = OutboxDepthAnswer;

    fn answer(self, snapshot: &Snapshot) -> Result<OutboxDepthAnswer, StoreError> {
        let (waiting, last) = snapshot.outbox_depth()?;
        Ok(OutboxDepthAnswer { waiting, last })
    }
}

/// Removes events that the broker has confirmed and routed.
#[derive(Clone, Debug)]
pub struct MarkSent {
    /// Their numbers.
    pub numbers: Vec<u64>,
}

impl Command for MarkSent {
    type Outcome = ();

    const IMPORTANCE: Importance = Importance::Upkeep;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        transaction.forget_events(&self.numbers)
    }
}
