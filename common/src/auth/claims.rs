use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a token says, by the names of RFC 7519 section 4.1. Times are seconds of the Unix epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Who wrote it.
    pub iss: String,
    /// Whom it is meant for; in JSON a text where there is just one.
    #[serde(serialize_with = "one_or_many", deserialize_with = "one_or_more")]
    pub aud: Vec<String>,
    /// Whom it speaks of: 1 to 128 visible ASCII characters, so that it can travel in a header.
    #[serde(deserialize_with = "subject")]
    pub sub: String,
    /// What that one may do.
    pub role: Role,
    /// When it was written.
    pub iat: u64,
    /// From when it is good.
    pub nbf: u64,
    /// From when it is good no longer.
    pub exp: u64,
    /// Tells it from all others.
    pub jti: String,
}

/// What somebody may do, as a word: 1 to 32 lower-case letters. Only `admin` means something everywhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Role(String);

impl Role {
    const ADMIN: &str = "admin";

    /// May do everything.
    pub fn admin() -> Self {
        Self(Self::ADMIN.to_owned())
    }

    /// Takes a word; `None` where it is none.
    pub fn parse(raw: &str) -> Option<Self> {
        let sound = (1..=32).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_lowercase());
        sound.then(|| Self(raw.to_owned()))
    }

    /// Whether it allows everything.
    pub fn is_admin(&self) -> bool {
        self.0 == Self::ADMIN
    }

    /// The word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = String::deserialize(deserializer)?;
        Self::parse(&raw).ok_or_else(|| serde::de::Error::custom("not a role"))
    }
}

/// Whether a text can be somebody's name in a token and in a header.
pub(crate) fn is_subject(raw: &str) -> bool {
    (1..=128).contains(&raw.len()) && raw.bytes().all(|b| b.is_ascii_graphic())
}

fn subject<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    let raw = String::deserialize(deserializer)?;
    if is_subject(&raw) { Ok(raw) } else { Err(serde::de::Error::custom("not a subject")) }
}

fn one_or_many<S: Serializer>(all: &[String], serializer: S) -> Result<S::Ok, S::Error> {
    match all {
        [one] => one.serialize(serializer),
        all => all.serialize(serializer),
    }
}

fn one_or_more<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore {
        One(String),
        More(Vec<String>),
    }
    Ok(match OneOrMore::deserialize(deserializer)? {
        OneOrMore::One(one) => vec![one],
        OneOrMore::More(more) => more,
    })
}
