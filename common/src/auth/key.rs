use std::{error::Error, fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::Signer;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{Claims, Jwk, Role};

/// The secret half of a key. It shows itself nowhere: neither in debug output nor in JSON.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    secret: ed25519_dalek::SigningKey,
    created_at: u64,
}

impl SigningKey {
    /// Makes a new key at `now` of the randomness of the operating system.
    ///
    /// # Errors
    /// When the system has no randomness, which it does not get over.
    pub fn generate(now: u64) -> Result<Self, NoRandomness> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(NoRandomness)?;
        Ok(Self::from_seed(&seed, now))
    }

    /// Takes a key that was kept.
    pub fn from_seed(seed: &[u8; 32], created_at: u64) -> Self {
        let secret = ed25519_dalek::SigningKey::from_bytes(seed);
        Self { kid: thumbprint(&secret.verifying_key()), secret, created_at }
    }

    /// The secret itself, for keeping it.
    pub fn expose_seed(&self) -> [u8; 32] {
        self.secret.to_bytes()
    }

    /// Names the key: the thumbprint of its public half (RFC 7638), so that a name means one key for ever.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// When it was made, in seconds of the Unix epoch.
    pub fn created_at(&self) -> u64 {
        self.created_at
    }

    /// The public half.
    pub fn public(&self) -> Jwk {
        Jwk::new(self.kid.clone(), &self.secret.verifying_key())
    }

    /// Writes a token.
    pub fn sign(&self, claims: &Claims) -> String {
        // A key's name is base64url, so it needs no escapes.
        let header = format!(r#"{{"alg":"EdDSA","typ":"JWT","kid":"{}"}}"#, self.kid);
        // Texts and numbers alone always become JSON.
        self.sign_parts(header.as_bytes(), &serde_json::to_vec(claims).unwrap_or_default())
    }

    /// Signs any two parts, also such that nobody would accept: for tests of whoever verifies.
    pub fn sign_parts(&self, header: &[u8], payload: &[u8]) -> String {
        let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
        let mut token = format!("{}.{}", part(header), part(payload));
        let signature = self.secret.sign(token.as_bytes());
        token.push('.');
        BASE64_URL_SAFE_NO_PAD.encode_string(signature.to_bytes(), &mut token);
        token
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SigningKey")
            .field("kid", &self.kid)
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}

/// The operating system has no randomness to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRandomness(getrandom::Error);

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no randomness")
    }
}

impl Error for NoRandomness {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.0)
    }
}

/// What whoever writes tokens and whoever reads them must agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issuer {
    /// Who writes them (`iss`).
    pub name: String,
    /// Whom they are meant for (`aud`).
    pub audience: String,
    /// How long each is good. Whoever verifies believes the token, not this.
    pub lifetime: Duration,
}

impl Issuer {
    /// Writes a token for `subject`, good from `now` on.
    pub fn token(&self, key: &SigningKey, subject: &str, role: &Role, now: u64) -> String {
        key.sign(&self.claims(subject, role, now))
    }

    /// What such a token says.
    pub fn claims(&self, subject: &str, role: &Role, now: u64) -> Claims {
        Claims {
            iss: self.name.clone(),
            aud: vec![self.audience.clone()],
            sub: subject.to_owned(),
            role: role.clone(),
            iat: now,
            nbf: now,
            exp: now.saturating_add(self.lifetime.as_secs()),
            jti: Uuid::now_v7().to_string(),
        }
    }
}

impl Default for Issuer {
    /// `warren` writes for `warren`, for an hour.
    fn default() -> Self {
        let name = || "warren".to_owned();
        Self { name: name(), audience: name(), lifetime: Duration::from_secs(3600) }
    }
}

/// The thumbprint of RFC 7638 section 3, over the members that RFC 8037 section 2 asks for.
fn thumbprint(key: &ed25519_dalek::VerifyingKey) -> String {
    let x = BASE64_URL_SAFE_NO_PAD.encode(key.as_bytes());
    let canonical = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(canonical))
}
