//! Who asks: verifies the token of a request, and keeps the keys for that fresh.
//!
//! [`Guard`] is one worker's. It verifies a token once and then knows it again by its bytes, until it expires or the
//! keys change: a request with a token that was seen before costs a look-up and no cryptography. Only tokens whose
//! signature held are ever kept, so nobody can fill the cache, or crowd one place in it, with bytes of their choice.
//!
//! [`Keys`] is the set that all workers verify by, and [`KeysActor`] is who fetches it:
//!
//! - *Owns*: the client that asks.
//! - *Receives*: nothing but the question how it is, and through [`Keys`] the wish for newer keys.
//! - *Sends*: `GET /.well-known/jwks.json` to the service that signs.
//! - *When it fails*: the guards go on with the keys that there are; the next generation asks at once.
//!
//! Keys are asked for at the start, until there are some; every minute after that, or when they may be kept no longer; and soon, but at most once a
//! second, when a token names a key that is not known. Such a token is refused nevertheless, without a wait: the
//! service that signs publishes a key well before it signs by it, so a new key is known here before the first token
//! that needs it. Only while there are no keys at all is nobody refused for it: then nobody knows who is who, and
//! the answer is a 503 that says so. While the service that signs is away, the keys stay as they were.

mod cache;
mod check;
mod denied;

mod keys;
mod keys_actor;

pub use check::{Guard, Principal};
pub use denied::Denied;

pub use keys::Keys;
pub use keys_actor::{KeysActor, KeysSource, KeysState};

#[cfg(test)]
mod tests;
