use std::time::Duration;

use common::{
    event::EventId,
    store::{Command, Importance, StoreError, Transaction},
};

use super::CUSTOMERS;

/// Keeps a customer's name for the read model. Replies once the effect and the note that the event was seen are
/// on disk together.
#[derive(Clone, Debug)]
pub struct RecordCustomer {
    /// Which event.
    pub event: EventId,
    /// The queue that it came through; events are new to each queue once.
    pub queue: &'static str,
    /// How long the event is recognised when it comes again.
    pub retention: Duration,
    /// Whose name.
    pub id: String,
    /// The name.
    pub name: String,
}

/// What became of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It was applied.
    Applied,
    /// It had been applied before.
    SeenBefore,
}

impl Command for RecordCustomer {
    type Outcome = Recorded;

    const IMPORTANCE: Importance = Importance::Effect;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Recorded, StoreError> {
        if !transaction.first_sight(self.queue, &self.event, self.retention)? {
            return Ok(Recorded::SeenBefore);
        }
        transaction.put(CUSTOMERS, &self.id, &self.name)?;
        Ok(Recorded::Applied)
    }
}
