use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use http::{
    Uri,
    uri::{Authority, Scheme},
};
use serde::Serialize;

/// One place where a service listens.
#[derive(Debug)]
pub struct Endpoint {
    name: &'static str,
    authority: Authority,
    base_path: String,
    health: Mutex<Health>,
}

/// What was heard last of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "state", content = "reason", rename_all = "lowercase")]
pub enum Health {
    /// Nobody has asked yet.
    Unknown,
    /// All is well there.
    Ready,
    /// It serves, but something is missing there; says what.
    Degraded(String),
    /// It is not ready or does not answer; says why.
    Unready(String),
}

impl Endpoint {
    /// Reads `http://host[:port][/path]`.
    ///
    /// # Errors
    /// When it is anything else.
    pub fn parse(name: &'static str, url: &str) -> Result<Self, InvalidEndpoint> {
        let uri: Uri = url.parse().map_err(|_| InvalidEndpoint)?;
        let parts = uri.into_parts();
        let authority = parts.authority.ok_or(InvalidEndpoint)?;
        let path = parts.path_and_query.ok_or(InvalidEndpoint)?;
        let plain = parts.scheme == Some(Scheme::HTTP)
            && !authority.as_str().contains('@')
            && !authority.host().is_empty()
            && path.query().is_none();
        if !plain {
            return Err(InvalidEndpoint);
        }
        let base_path = path.path().trim_end_matches('/').to_owned();
        Ok(Self { name, authority, base_path, health: Mutex::new(Health::Unknown) })
    }

    /// The service's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Host and port.
    pub fn authority(&self) -> &Authority {
        &self.authority
    }

    /// What every path there starts with; empty, or starts with a slash and does not end with one.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// Returns what was heard last.
    pub fn health(&self) -> Health {
        self.health.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn heard(&self, health: Health) {
        *self.health.lock().unwrap_or_else(PoisonError::into_inner) = health;
    }
}

/// The text is no endpoint; completes the sentence "NAME must be …".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidEndpoint;

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a URL such as http://host:3001")
    }
}

impl std::error::Error for InvalidEndpoint {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_a_plain_url() {
        let endpoint = Endpoint::parse("users", "http://users:3001/base/").expect("a sound URL");

        assert_eq!(endpoint.authority().as_str(), "users:3001");
        assert_eq!(endpoint.base_path(), "/base");
        for url in [
            "",
            "users:3001",
            "https://users:3001",
            "http://me@users:3001",
            "http://u?x",
            "/users",
            "http://",
        ] {
            assert!(Endpoint::parse("users", url).is_err(), "{url}");
        }
    }
}
