//! What the gateway is told: the routing table and the policies on it, as one checked, immutable snapshot.
//!
//! One TOML file (`gateway.toml` beside the sources is the documented default) and a few variables of the
//! environment, which win over the file, make a [`Settings`]. Every mistake in either is found before any of it
//! counts.

mod file;

mod changes;
mod document;
mod mistakes;
mod overrides;
mod quantity;
mod rules;
mod summary;

mod auth;
mod cors;
mod limits;
mod networks;
mod rate;
mod route;
mod upstream;

pub use auth::{AuthMode, AuthSettings};
pub use changes::Changes;
pub use cors::CorsSettings;
pub use limits::{Deadlines, Limits};
pub use mistakes::{Mistake, Mistakes};
pub use networks::{InvalidNetwork, Networks};
pub use overrides::Overrides;
pub use rate::Rate;
pub use route::{PublicCall, RouteSettings};
pub use summary::Summary;
pub use upstream::{BreakerSettings, InvalidUrl, UpstreamSettings, UpstreamUrl};

use std::{fs, path::Path};

use crate::policy::Cors;

use self::file::FileSettings;

/// The documented default: every key with what it is where it is not set.
pub const DEFAULT_FILE: &str = include_str!("../../gateway.toml");

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

impl Settings {
    /// Reads `file`, where there is one, and lets the environment win over it.
    ///
    /// # Errors
    /// Says everything that is wrong, and nothing of the file counts.
    pub fn load(file: Option<&Path>, env: &Overrides) -> Result<Self, Mistakes> {
        let Some(file) = file else {
            return Self::read("the environment", "", env);
        };
        let name = file.display().to_string();
        let text = fs::read_to_string(file).map_err(|error| Mistakes::cannot_read(&name, &error))?;
        Self::read(&name, &text, env)
    }

    /// Reads the text of a file that is called `name` in messages, without an environment.
    ///
    /// # Errors
    /// Says everything that is wrong.
    pub fn parse(text: &str, name: &str) -> Result<Self, Mistakes> {
        Self::read(name, text, &Overrides::default())
    }

    fn read(name: &str, text: &str, env: &Overrides) -> Result<Self, Mistakes> {
        let (file, mut document) = FileSettings::read(name, text);
        let FileSettings { mut settings, mut cors, upstreams_named } = file;
        env.apply(&mut settings, &mut cors);
        rules::judge(&settings, &cors, &mut |key, why| document.note(key, why));
        settings.drop_unneeded_upstreams(&upstreams_named);
        if !cors.origins.is_empty() {
            settings.cors = Some(Cors::new(cors));
        }
        Mistakes::of(document.into_mistakes()).map_or(Ok(settings), Err)
    }

    /// Forgets those that are known without a file where neither the file nor a route names them, so that nobody asks
    /// after the health of what is not there.
    fn drop_unneeded_upstreams(&mut self, named: &[String]) {
        let Self { upstreams, routes, auth, .. } = self;
        upstreams.retain(|upstream| {
            named.contains(&upstream.name)
                || auth.keys_upstream == upstream.name
                || routes.iter().any(|route| route.upstream == upstream.name)
        });
    }
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

#[cfg(test)]
mod tests;
