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

/// Asks for waiting events, oldest first.
#[derive(Clone, Copy, Debug)]
pub struct PendingEvents {
    /// Only those with a higher number.
    pub after: u64,
    /// At most so many.
    pub limit: usize,
}

impl Query for PendingEvents {
    type Answer = Vec<OutboxRow>;

    fn answer(self, snapshot: &Snapshot) -> Result<Vec<OutboxRow>, StoreError> {
        let rows = snapshot.events_after(self.after, self.limit)?;
        Ok(rows.into_iter().map(|(number, envelope)| OutboxRow { number, envelope }).collect())
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
