use common::store::{Query, Snapshot, StoreError, Tables};

use super::{EMAILS, PASSWORDS, ROLES};
use crate::domain::{Email, PasswordHash, Role, UserId};

/// Looks up what it takes to log in, by address.
#[derive(Clone, Debug)]
pub struct FindLogin {
    /// Whose.
    pub email: Email,
}

/// What it takes to log in, and what that gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// Who.
    pub id: UserId,
    /// What that one may do.
    pub role: Role,
    /// What the password must hash to. Who has none cannot log in.
    pub password: Option<PasswordHash>,
}

impl Query for FindLogin {
    type Answer = Option<Login>;

    fn answer(self, snapshot: &Snapshot) -> Result<Self::Answer, StoreError> {
        let Some(id) = snapshot.get(EMAILS, &self.email.key())? else {
            return Ok(None);
        };
        let role = snapshot.get(ROLES, id.as_str())?.unwrap_or_default();
        let password = snapshot.get(PASSWORDS, id.as_str())?;
        Ok(Some(Login { id, role, password }))
    }
}
