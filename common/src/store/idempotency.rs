use std::{marker::PhantomData, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{
    Importance, Query, Snapshot, StoreError, Tables, Transaction,
    command::Command,
    expiring::Expiring,
    table::{decode, encode},
};

pub(super) const IDEMPOTENCY: Expiring = Expiring { entries: "idempotency", due: "idempotency_due" };

/// A client's key for one operation, within the scope in which it must be unique (the method and path).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IdempotencyKey(pub String);

/// Tells whether two requests are the same, without keeping what they said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Fingerprint(pub String);

impl Fingerprint {
    /// Takes the fingerprint of a request's body: SHA-256, in hexadecimal. What holds a secret that could be
    /// guessed needs a slow hash first.
    pub fn of(body: &[u8]) -> Self {
        Self(Sha256::digest(body).iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

#[derive(Serialize, Deserialize)]
struct Stored<T> {
    fingerprint: Fingerprint,
    outcome: T,
}

/// What is known of an Idempotency-Key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recalled<T> {
    /// The key is new.
    Nothing,
    /// The same request was carried out before, with this outcome.
    Same(T),
    /// Another request was carried out under this key.
    Other,
}

/// Asks what is known of a key.
#[derive(Clone, Debug)]
pub struct Recall<T> {
    key: IdempotencyKey,
    fingerprint: Fingerprint,
    outcome: PhantomData<fn() -> T>,
}

impl<T> Recall<T> {
    /// Asks for `key`, used with a request of this fingerprint.
    pub fn new(key: IdempotencyKey, fingerprint: Fingerprint) -> Self {
        Self { key, fingerprint, outcome: PhantomData }
    }
}

impl<T: DeserializeOwned + Send + 'static> Query for Recall<T> {
    type Answer = Recalled<T>;

    fn answer(self, snapshot: &Snapshot) -> Result<Recalled<T>, StoreError> {
        recall(snapshot, &self.key, &self.fingerprint)
    }
}

/// A command that is carried out once for its key; what it achieved is kept in the same commit.
pub struct IdempotentWrite<C> {
    /// The client's key and the request's fingerprint, where the client sent a key.
    pub key: Option<(IdempotencyKey, Fingerprint)>,
    /// How long the outcome is kept.
    pub retention: Duration,
    /// What to do.
    pub command: C,
}

/// What became of an [`IdempotentWrite`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Once<T, E> {
    /// It was carried out now.
    Done(T),
    /// It was carried out before, with this outcome.
    Replayed(T),
    /// Another request was carried out under this key; nothing was done.
    OtherRequest,
    /// The command refused. A refusal is not kept: the next request under the key is carried out afresh.
    Refused(E),
}

impl<C, T, E> Command for IdempotentWrite<C>
where
    C: Command<Outcome = Result<T, E>>,
    T: Serialize + DeserializeOwned + Send + 'static,
    E: Send + 'static,
{
    type Outcome = Once<T, E>;

    const IMPORTANCE: Importance = C::IMPORTANCE;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Once<T, E>, StoreError> {
        if let Some((key, fingerprint)) = &self.key {
            // The caller looked already; here nobody can come between.
            match recall::<T>(transaction, key, fingerprint)? {
                Recalled::Same(outcome) => return Ok(Once::Replayed(outcome)),
                Recalled::Other => return Ok(Once::OtherRequest),
                Recalled::Nothing => {}
            }
        }
        let outcome = match self.command.execute(transaction)? {
            Ok(outcome) => outcome,
            Err(refusal) => return Ok(Once::Refused(refusal)),
        };
        let Some((key, fingerprint)) = self.key else {
            return Ok(Once::Done(outcome));
        };
        let stored = Stored { fingerprint, outcome };
        let bytes = encode(IDEMPOTENCY.entries, &key.0, &stored)?;
        let until = transaction.now().saturating_add(self.retention).unwrap_or(Timestamp::MAX);
        IDEMPOTENCY.put(transaction, &key.0, &bytes, until)?;
        Ok(Once::Done(stored.outcome))
    }
}

fn recall<T: DeserializeOwned>(
    tables: &impl Tables,
    key: &IdempotencyKey,
    fingerprint: &Fingerprint,
) -> Result<Recalled<T>, StoreError> {
    let Some(bytes) = tables.get_bytes(IDEMPOTENCY.entries, &key.0)? else {
        return Ok(Recalled::Nothing);
    };
    let stored: Stored<Box<serde_json::value::RawValue>> = decode(IDEMPOTENCY.entries, &key.0, &bytes)?;
    if stored.fingerprint != *fingerprint {
        return Ok(Recalled::Other);
    }
    decode(IDEMPOTENCY.entries, &key.0, stored.outcome.get().as_bytes()).map(Recalled::Same)
}
