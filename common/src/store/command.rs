use super::{Snapshot, StoreError, Transaction};

/// Something to change, as one atomic commit.
///
/// A command looks before it leaps: it decides by reading, and once it has written anything it succeeds.
/// Refusals such as "email taken" are part of the outcome and change nothing.
pub trait Command: Send + 'static {
    /// What the caller learns once the change is on disk.
    type Outcome: Send + 'static;

    /// When the command is refused because room is short.
    const IMPORTANCE: Importance;

    /// Reads, decides and writes.
    ///
    /// # Errors
    /// Whatever the transaction reports; then nothing of the command is kept.
    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Self::Outcome, StoreError>;
}

/// Which commands go on when room is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Importance {
    /// A client's wish: refused when the disk or the outbox is nearly full.
    Request,
    /// The effect of an event: refused when the disk is nearly full.
    Effect,
    /// What keeps the store in order or frees room: may use the reserve.
    Upkeep,
}

/// Something to look up, in a snapshot of the last commit.
pub trait Query: Send + 'static {
    /// The answer.
    type Answer: Send + 'static;

    /// Looks it up.
    ///
    /// # Errors
    /// Whatever the snapshot reports.
    fn answer(self, snapshot: &Snapshot) -> Result<Self::Answer, StoreError>;
}
