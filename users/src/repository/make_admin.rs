use common::{
    store::{Command, Importance, StoreError, Tables, Transaction},
    telemetry::trace::Origin,
};

use super::{EMAILS, PASSWORDS, ROLES, RegisterUser};
use crate::domain::{Email, Name, PasswordHash, Role, UserId};

/// Makes sure that an admin with this address and password exists: raises who has the address, or registers somebody.
#[derive(Clone, Debug)]
pub struct MakeAdmin {
    /// The id to give where nobody has the address; the caller makes it.
    pub id: UserId,
    /// What a new one is called.
    pub name: Name,
    /// Whose.
    pub email: Email,
    /// The hash of the password; replaces the one there was.
    pub password: PasswordHash,
    /// Where the wish comes from.
    pub origin: Origin,
}

impl Command for MakeAdmin {
    type Outcome = ();

    const IMPORTANCE: Importance = Importance::Request;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        let Self { id, name, email, password, origin } = self;
        let id = match transaction.get(EMAILS, &email.key())? {
            Some(id) => id,
            None => {
                let registration = RegisterUser { id: id.clone(), name, email, password: None, origin };
                // Refuses only an address that somebody has, and nobody has.
                let _ = registration.execute(transaction)?;
                id
            }
        };
        transaction.put(ROLES, id.as_str(), &Role::Admin)?;
        transaction.put(PASSWORDS, id.as_str(), &password)
    }
}
