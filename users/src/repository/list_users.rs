use common::store::{Page, Query, Snapshot, StoreError, Tables};

use super::{KnownUser, USERS, find_user::known};
use crate::domain::UserId;

/// Lists users in the order of their ids, which is the order in which they registered.
#[derive(Clone, Debug)]
pub struct ListUsers {
    /// Only those after this one.
    pub after: Option<UserId>,
    /// At most so many.
    pub limit: usize,
}

impl Query for ListUsers {
    type Answer = Page<KnownUser>;

    fn answer(self, snapshot: &Snapshot) -> Result<Page<KnownUser>, StoreError> {
        let after = self.after.as_ref().map(UserId::as_str);
        let Page { items, more } = snapshot.page(USERS, "", after, self.limit)?;
        let items = items.into_iter().map(|(_, user)| known(snapshot, user)).collect::<Result<_, _>>()?;
        Ok(Page { items, more })
    }
}
