use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{Email, Name};

/// Identifies a user: a UUID version 7, so that ids sort by time, or the demo's `u1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserId(String);

impl UserId {
    /// Makes a new id.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// Takes an id from elsewhere; it may or may not be somebody's.
    pub fn given(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A registered user.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Identifies the user.
    pub id: UserId,
    /// What the user is called.
    pub name: Name,
    /// Unique among users, without regard to case.
    pub email: Email,
    /// When the user registered.
    pub created_at: Timestamp,
}

/// A password as argon2id left it, in the PHC string format; worthless to whoever reads it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct PasswordHash(pub String);

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

/// What the events of the orders service say of a user's orders.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderTally {
    /// Orders placed less orders cancelled. Below 0 only while a cancellation has overtaken its order.
    placed: i64,
    /// When the latest order was placed, whether or not it was cancelled since.
    last_order_at: Option<Timestamp>,
}

impl OrderTally {
    /// Counts an order that was placed at `at`. The order in which events arrive makes no difference.
    pub fn placed(self, at: Timestamp) -> Self {
        Self { placed: self.placed + 1, last_order_at: self.last_order_at.max(Some(at)) }
    }

    /// Counts a cancellation.
    pub fn cancelled(self) -> Self {
        Self { placed: self.placed - 1, ..self }
    }

    /// How many orders are placed and not cancelled.
    pub fn order_count(self) -> u64 {
        u64::try_from(self.placed).unwrap_or(0)
    }

    /// When the latest order was placed.
    pub fn last_order_at(self) -> Option<Timestamp> {
        self.last_order_at
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_tally_is_the_same_in_whatever_order_events_arrive() {
        let early = Timestamp::UNIX_EPOCH;
        let late = early + Duration::from_secs(1);
        let nothing = OrderTally::default();

        let in_order = nothing.placed(early).placed(late).cancelled();
        let shuffled = nothing.cancelled().placed(late).placed(early);

        assert_eq!(in_order, shuffled);
        assert_eq!((in_order.order_count(), in_order.last_order_at()), (1, Some(late)));
    }

    #[test]
    fn a_cancellation_that_overtakes_its_order_shows_as_no_orders() {
        let overtaken = OrderTally::default().cancelled();

        assert_eq!(overtaken.order_count(), 0);
        assert_eq!(overtaken.placed(Timestamp::UNIX_EPOCH).order_count(), 0);
    }
}
