use common::{
    event::Envelope,
    store::{Command, Importance, StoreError, Tables, Transaction},
    telemetry::trace::Origin,
};

use super::{EMAILS, PASSWORDS, USERS};
use crate::{
    SERVICE,
    domain::{Email, Name, PasswordHash, User, UserId},
    events::UserCreated,
};

/// Registers a user. Replies once the user and its event are on disk together, so a crash can lose neither
/// without the other.
#[derive(Clone, Debug)]
pub struct RegisterUser {
    /// The id to give; the caller makes it.
    pub id: UserId,
    /// What the user is called.
    pub name: Name,
    /// Must be nobody else's.
    pub email: Email,
    /// The hash of the password, where the user chose one.
    pub password: Option<PasswordHash>,
    /// The request that asks for it.
    pub origin: Origin,
}

/// Somebody else has this address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EmailTaken;

impl Command for RegisterUser {
    type Outcome = Result<User, EmailTaken>;

    const IMPORTANCE: Importance = Importance::Request;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Self::Outcome, StoreError> {
        let email_key = self.email.key();
        if transaction.get(EMAILS, &email_key)?.is_some() {
            return Ok(Err(EmailTaken));
        }
        let Self { id, name, email, password, origin } = self;
        let user = User { id, name, email, created_at: transaction.now() };
        let event = Envelope::wrap(&UserCreated(user.clone()), SERVICE, user.created_at, origin)
            .map_err(|error| StoreError::Corrupt(format!("user.created: {error}")))?;

        transaction.put(USERS, user.id.as_str(), &user)?;
        transaction.put(EMAILS, &email_key, &user.id)?;
        if let Some(password) = password {
            transaction.put(PASSWORDS, user.id.as_str(), &password)?;
        }
        transaction.publish(event)?;
        Ok(Ok(user))
    }
}
