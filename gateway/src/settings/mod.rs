//! What the gateway is told: the routing table and the policies on it, as one checked, immutable snapshot.
//!
//! One TOML file (`gateway.toml` beside the sources is the documented default) and a few variables of the
//! environment, which win over the file, make a [`Settings`]. Every mistake in either is found before any of it
//! counts.

mod auth;
mod limits;
mod networks;
mod rate;
mod route;
mod upstream;

pub use auth::{AuthMode, AuthSettings};
pub use limits::{Deadlines, Limits};
pub use networks::{InvalidNetwork, Networks};
pub use rate::Rate;
pub use route::{PublicCall, RouteSettings};
pub use upstream::{BreakerSettings, InvalidUrl, UpstreamSettings, UpstreamUrl};

use crate::policy::Cors;

/// Everything that the gateway is told, except where it listens.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Bounds that hold for the gateway as a whole.
    pub limits: Limits,
    /// How long each part of an exchange may take.
    pub deadlines: Deadlines,
    /// Whose `X-Forwarded-*` are believed.
    pub trusted: Networks,
    /// Who has to show a token, and whose tokens count.
    pub auth: AuthSettings,
    /// How much one client may ask for where the route says nothing of its own; `None` is no limit.
    pub rate_limit: Option<Rate>,
    /// Which pages of other origins may call; `None` is none, and no CORS headers at all.
    pub cors: Option<Cors>,
    /// The services behind, by name.
    pub upstreams: Vec<UpstreamSettings>,
    /// Which service answers which path.
    pub routes: Vec<RouteSettings>,
}

impl Default for Settings {
    /// What the binary does when it is told nothing: a token is required.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            deadlines: Deadlines::default(),
            trusted: Networks::default(),
            auth: AuthSettings::default(),
            rate_limit: Some(Rate::default()),
            cors: None,
            upstreams: UpstreamSettings::defaults(),
            routes: RouteSettings::defaults(),
        }
    }
}
