use common::store::{Query, Snapshot, StoreError, Tables};

use super::{TALLIES, USERS};
use crate::domain::{OrderTally, User, UserId};

/// Looks up a user by id.
#[derive(Clone, Debug)]
pub struct FindUser {
    /// Whose.
    pub id: UserId,
}

/// A user and what is known of their orders.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownUser {
    /// The user.
    pub user: User,
    /// As told by the events that have arrived so far.
    pub orders: OrderTally,
}

impl Query for FindUser {
    type Answer = Option<KnownUser>;

    fn answer(self, snapshot: &Snapshot) -> Result<Self::Answer, StoreError> {
        let Some(user) = snapshot.get(USERS, self.id.as_str())? else {
            return Ok(None);
        };
        known(snapshot, user).map(Some)
    }
}

/// Adds what is known of a user's orders.
pub(super) fn known(snapshot: &Snapshot, user: User) -> Result<KnownUser, StoreError> {
    let orders = snapshot.get(TALLIES, user.id.as_str())?.unwrap_or_default();
    Ok(KnownUser { user, orders })
}
