use std::{error::Error, fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use ed25519_dalek::Signature;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

use super::{Claims, Issuer, KeySet};

/// Longest token that is looked at, in bytes. Those signed here have about 450.
pub const LONGEST: usize = 4096;

/// How far the clocks of two machines may be apart.
pub const LEEWAY: Duration = Duration::from_secs(10);

impl KeySet {
    /// Returns what `token` says, where one of these keys signed it, for `issuer`'s audience, and it is good at `now`
    /// (in seconds of the Unix epoch), give or take [`LEEWAY`].
    ///
    /// # Errors
    /// Names the first thing that is wrong, for the log; the sender of a token learns less.
    pub fn verify(&self, token: &[u8], issuer: &Issuer, now: u64) -> Result<Claims, TokenError> {
        self.verify_within(token, issuer, LEEWAY, now)
    }

    /// The same with another leeway.
    ///
    /// # Errors
    /// As [`verify`](Self::verify).
    pub fn verify_within(
        &self,
        token: &[u8],
        issuer: &Issuer,
        leeway: Duration,
        now: u64,
    ) -> Result<Claims, TokenError> {
        if token.len() > LONGEST {
            return Err(TokenError::TooLong);
        }
        let claims: Claims = self.signed_claims(token)?;
        if claims.iss != issuer.name {
            return Err(TokenError::Issuer);
        }
        if !claims.aud.contains(&issuer.audience) {
            return Err(TokenError::Audience);
        }
        let leeway = leeway.as_secs();
        if now >= claims.exp.saturating_add(leeway) {
            return Err(TokenError::Expired);
        }
        if now.saturating_add(leeway) < claims.nbf {
            return Err(TokenError::NotYet);
        }
        Ok(claims)
    }

    /// Reads the claims once the signature holds.
    fn signed_claims(&self, token: &[u8]) -> Result<Claims, TokenError> {
        let (message, signature) = split_last(token)?;
        let (header, claims) = split_last(message)?;
        let header: Header = serde_json::from_slice(&decode(header)?).map_err(|_| TokenError::Malformed)?;
        if header.alg != "EdDSA" {
            return Err(TokenError::Algorithm);
        }
        // RFC 7515 section 4.1.11: whoever does not understand what is critical must refuse, and nothing is understood.
        if header.crit.0 || header.typ.is_some_and(|typ| !typ.eq_ignore_ascii_case("JWT")) {
            return Err(TokenError::Malformed);
        }
        let key = self.get(&header.kid).ok_or(TokenError::UnknownKey)?;
        let signature = Signature::from_slice(&decode(signature)?).map_err(|_| TokenError::Signature)?;
        key.verify_strict(message, &signature).map_err(|_| TokenError::Signature)?;
        serde_json::from_slice(&decode(claims)?).map_err(|error| match error.is_data() {
            true => TokenError::Claims,
            false => TokenError::Malformed,
        })
    }
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: String,
    typ: Option<String>,
    #[serde(default)]
    crit: Present,
}

/// Whether a member is there, whatever it holds.
#[derive(Default)]
struct Present(bool);

impl<'de> Deserialize<'de> for Present {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        IgnoredAny::deserialize(deserializer).map(|_| Self(true))
    }
}

fn split_last(token: &[u8]) -> Result<(&[u8], &[u8]), TokenError> {
    let dot = token.iter().rposition(|b| *b == b'.').ok_or(TokenError::Malformed)?;
    Ok((&token[..dot], &token[dot + 1..]))
}

/// Takes base64url without padding, and of the texts that decode to the same bytes only the one that encoding gives.
/// A dot more than there should be is no such text either.
fn decode(part: &[u8]) -> Result<Vec<u8>, TokenError> {
    BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed)
}

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// More than [`LONGEST`] bytes.
    TooLong,
    /// Not three parts of base64url, or a header that is not understood.
    Malformed,
    /// Another algorithm than EdDSA.
    Algorithm,
    /// Signed by a key that is not known (here, or yet).
    UnknownKey,
    /// The signature does not hold.
    Signature,
    /// It was good once.
    Expired,
    /// It will be good later.
    NotYet,
    /// Written by somebody else.
    Issuer,
    /// Written for somebody else.
    Audience,
    /// A claim is missing, or not what it should be.
    Claims,
}

impl TokenError {
    /// A word for metrics and logs.
    pub fn label(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::Malformed => "malformed",
            Self::Algorithm => "algorithm",
            Self::UnknownKey => "unknown_key",
            Self::Signature => "signature",
            Self::Expired => "expired",
            Self::NotYet => "not_yet",
            Self::Issuer => "issuer",
            Self::Audience => "audience",
            Self::Claims => "claims",
        }
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the token is too long",
            Self::Malformed => "not a token",
            Self::Algorithm => "the token is signed by another algorithm",
            Self::UnknownKey => "the token is signed by an unknown key",
            Self::Signature => "the token's signature does not hold",
            Self::Expired => "the token has expired",
            Self::NotYet => "the token is not valid yet",
            Self::Issuer => "the token is another issuer's",
            Self::Audience => "the token is meant for somebody else",
            Self::Claims => "a claim of the token is missing or wrong",
        })
    }
}

impl Error for TokenError {}
