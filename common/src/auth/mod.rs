//! Who asks, written so that nobody else could have written it: JSON Web Tokens (RFC 7519) signed by Ed25519.
//!
//! One service holds a [`SigningKey`] and writes [`Claims`] with it; its public half travels as a [`Jwks`]
//! document (RFC 7517, RFC 8037), which whoever verifies reads into a [`KeySet`]. An [`Issuer`] says what both
//! sides must agree on.
//!
//! There is one kind of token here and no choice of algorithms, since that choice, made by whoever sends the token,
//! is what most forgeries live on: the header must say `EdDSA` and name a known key, and nothing in it can bring
//! a key along. A token is bounded before it is looked at, its signature is verified before its claims are read,
//! and every claim must be there. Time comes from outside, in seconds of the Unix epoch.
//!
//! A test or a benchmark that needs somebody to be somebody makes a key, serves its document and signs:
//!
//! ```
//! use common::auth::{Issuer, Jwks, KeySet, Role, SigningKey};
//!
//! let (issuer, now) = (Issuer::default(), 1_800_000_000);
//! let key = SigningKey::generate(now)?;
//! let document = Jwks::of([&key]).to_json();
//! let token = issuer.token(&key, "ada", &Role::admin(), now);
//!
//! let keys = KeySet::parse(document.as_bytes())?;
//! assert_eq!(keys.verify(token.as_bytes(), &issuer, now)?.sub, "ada");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod claims;
mod key;

mod jwks;
mod verify;

pub(crate) use claims::is_subject;
pub use claims::{Claims, Role};
pub use key::{Issuer, NoRandomness, SigningKey};

pub use jwks::{InvalidKeys, Jwk, Jwks, KeySet};
pub use verify::{LEEWAY, LONGEST, TokenError};

#[cfg(test)]
mod tests;
