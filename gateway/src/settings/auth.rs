use std::time::Duration;

/// Who has to show a token, and whose tokens count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// Whether a request without a token passes.
    pub mode: AuthMode,
    /// Who must have signed a token (`iss`).
    pub issuer: String,
    /// For whom a token must have been signed (`aud`).
    pub audience: String,
    /// The upstream that publishes the keys.
    pub keys_upstream: String,
    /// Where it publishes them.
    pub keys_path: String,
    /// How far the clocks of gateway and signer may be apart.
    pub leeway: Duration,
    /// How many verified tokens each worker remembers.
    pub cached_tokens: usize,
}

/// Whether a request without a token passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthMode {
    /// It passes; the services trust it with everything. A token that is shown is verified all the same.
    Open,
    /// It passes only where the route calls it public.
    Required,
}

impl AuthMode {
    /// Its name in the file and in `AUTH`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Required => "required",
        }
    }

    /// Reads its name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Open, Self::Required].into_iter().find(|mode| mode.name() == name)
    }
}

impl Default for AuthSettings {
    fn default() -> Self {
        Self {
            mode: AuthMode::Required,
            issuer: "warren".to_owned(),
            audience: "warren".to_owned(),
            keys_upstream: "users".to_owned(),
            keys_path: "/.well-known/jwks.json".to_owned(),
            leeway: Duration::from_secs(10),
            cached_tokens: 10_000,
        }
    }
}
