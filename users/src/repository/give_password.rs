use common::store::{Command, Importance, StoreError, Tables, Transaction};

use super::{PASSWORDS, USERS};
use crate::domain::{PasswordHash, UserId};

/// Gives a user who has no password one. Changes nothing where there is a password, or no such user.
#[derive(Clone, Debug)]
pub struct GivePassword {
    /// Who.
    pub id: UserId,
    /// The hash of the password.
    pub password: PasswordHash,
}

impl Command for GivePassword {
    type Outcome = ();

    const IMPORTANCE: Importance = Importance::Request;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        let id = self.id.as_str();
        if transaction.get(USERS, id)?.is_some() && transaction.get(PASSWORDS, id)?.is_none() {
            transaction.put(PASSWORDS, id, &self.password)?;
        }
        Ok(())
    }
}
