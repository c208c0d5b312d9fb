use std::{error::Error, fmt};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::VerifyingKey;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::SigningKey;

/// Most keys that a set holds; a service that rotates has two or three.
const MOST: usize = 64;

/// The public half of a key as RFC 8037 writes it down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwk {
    kty: String,
    crv: String,
    x: String,
    kid: String,
    #[serde(rename = "use", default, skip_serializing_if = "Option::is_none")]
    purpose: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    alg: Option<String>,
}

impl Jwk {
    pub(super) fn new(kid: String, key: &VerifyingKey) -> Self {
        Self {
            kty: "OKP".to_owned(),
            crv: "Ed25519".to_owned(),
            x: BASE64_URL_SAFE_NO_PAD.encode(key.as_bytes()),
            kid,
            purpose: Some("sig".to_owned()),
            alg: Some("EdDSA".to_owned()),
        }
    }

    /// Names the key.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The key, where it is one that verifies what is signed here.
    fn verifying_key(&self) -> Option<VerifyingKey> {
        let fits = |given: &Option<String>, expected| given.as_deref().is_none_or(|given| given == expected);
        let ours = self.kty == "OKP" && self.crv == "Ed25519";
        if !ours || !fits(&self.purpose, "sig") || !fits(&self.alg, "EdDSA") {
            return None;
        }
        let x = BASE64_URL_SAFE_NO_PAD.decode(&self.x).ok()?;
        let key = VerifyingKey::from_bytes(x.as_slice().try_into().ok()?).ok()?;
        // Under a weak key anything can be made to look signed.
        (!key.is_weak()).then_some(key)
    }
}

/// A JWK Set document (RFC 7517 section 5).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

impl Jwks {
    /// The public halves of these keys.
    pub fn of<'a>(keys: impl IntoIterator<Item = &'a SigningKey>) -> Self {
        Self { keys: keys.into_iter().map(SigningKey::public).collect() }
    }

    /// The document, to be served as `application/json`.
    pub fn to_json(&self) -> String {
        // Texts alone always become JSON.
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// The keys that tokens are verified by.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeySet(Vec<(String, VerifyingKey)>);

impl KeySet {
    /// Reads a JWK Set document. Keys of other kinds are passed over, as RFC 7517 section 5 asks, and so is a key
    /// whose name was used before in the set.
    ///
    /// # Errors
    /// When it is no such document, or one without a key that could be used.
    pub fn parse(document: &[u8]) -> Result<Self, InvalidKeys> {
        #[derive(Deserialize)]
        struct Document<'a> {
            #[serde(borrow)]
            keys: Vec<&'a RawValue>,
        }
        let Document { keys } = serde_json::from_slice(document).map_err(|_| InvalidKeys::NoDocument)?;
        let mut set = Self::default();
        for key in keys.into_iter().take(MOST) {
            let Ok(key) = serde_json::from_str::<Jwk>(key.get()) else { continue };
            if set.get(&key.kid).is_none()
                && let Some(verifying) = key.verifying_key()
            {
                set.0.push((key.kid, verifying));
            }
        }
        if set.0.is_empty() { Err(InvalidKeys::NoKey) } else { Ok(set) }
    }

    /// The names of the keys.
    pub fn kids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|(kid, _)| kid.as_str())
    }

    pub(super) fn get(&self, kid: &str) -> Option<&VerifyingKey> {
        self.0.iter().find(|(known, _)| known == kid).map(|(_, key)| key)
    }
}

/// Why a document gives no keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidKeys {
    /// It is no JWK Set.
    NoDocument,
    /// None of its keys is a sound Ed25519 key for signatures.
    NoKey,
}

impl fmt::Display for InvalidKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoDocument => "not a JWK Set document",
            Self::NoKey => "no Ed25519 key for signatures in the JWK Set",
        })
    }
}

impl Error for InvalidKeys {}
