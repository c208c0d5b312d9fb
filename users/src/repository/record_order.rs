use std::time::Duration;

use common::{
    event::EventId,
    store::{Command, Importance, StoreError, Tables, Transaction},
};
use jiff::Timestamp;

use super::{TALLIES, USERS};
use crate::domain::UserId;

/// Applies an event of the orders service to its user. Replies once the effect and the note that the event was
/// seen are on disk together, so that it is applied once however often it is delivered.
#[derive(Clone, Debug)]
pub struct RecordOrder {
    /// Which event.
    pub event: EventId,
    /// The queue that it came through; events are new to each queue once.
    pub queue: &'static str,
    /// How long the event is recognised when it comes again.
    pub retention: Duration,
    /// Whose order.
    pub user: UserId,
    /// What happened to it.
    pub change: OrderChange,
}

/// What happened to an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OrderChange {
    /// It was placed at this time, or just now where the event doesn't say.
    Placed(Option<Timestamp>),
    /// It was cancelled.
    Cancelled,
}

/// What became of the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recorded {
    /// It was applied.
    Applied,
    /// It had been applied before.
    SeenBefore,
    /// No such user is known; nothing was kept, and the event may come again.
    UnknownUser,
}

impl Command for RecordOrder {
    type Outcome = Recorded;

    const IMPORTANCE: Importance = Importance::Effect;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Recorded, StoreError> {
        let user = self.user.as_str();
        if transaction.get(USERS, user)?.is_none() {
            return Ok(Recorded::UnknownUser);
        }
        let tally = transaction.get(TALLIES, user)?.unwrap_or_default();
        if !transaction.first_sight(self.queue, &self.event, self.retention)? {
            return Ok(Recorded::SeenBefore);
        }
        let tally = match self.change {
            OrderChange::Placed(at) => tally.placed(at.unwrap_or_else(|| transaction.now())),
            OrderChange::Cancelled => tally.cancelled(),
        };
        transaction.put(TALLIES, user, &tally)?;
        Ok(Recorded::Applied)
    }
}
