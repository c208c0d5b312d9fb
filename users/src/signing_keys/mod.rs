//! The keys that tokens are signed by: made, published, replaced and dropped in time.
//!
//! *Owns*: nothing of its own; the keys are in the store, and those of the last commit in the [`Keyring`].
//! *Receives*: nothing but the question how it is.
//! *Sends*: [`MaintainKeys`](crate::repository::MaintainKeys) to the repository, when a key is due to come or go.
//! *When it fails*: the ring stays as it is, so users go on logging in; the next generation asks the store at once.
//!
//! The secrets are in the store as they are, so whoever can read the service's file can sign: protect the folder as
//! you would a private key. They leave the process in no other way: no log, answer or observation holds one.

mod actor;
mod keyring;

pub use actor::{SigningKeyState, SigningKeys, SigningKeysState};
pub use keyring::Keyring;
