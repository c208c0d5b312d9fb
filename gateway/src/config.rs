//! What the gateway is told by its environment.

use std::{
    net::{IpAddr, Ipv4Addr},
    path::PathBuf,
    time::Duration,
};

use common::{broker::BrokerConfig, config::Environment, http::HttpConfig};

use crate::{
    console::{AdminNames, AdminToken},
    settings::{Overrides, Settings},
};

/// How long requests to the admin server may take to finish at the end, at most: an operation on dead letters may last a
/// minute, and can be given up at any time.
const ADMIN_DRAIN: Duration = Duration::from_secs(5);

/// Everything that the gateway is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public server (`HOST`, `PORT`).
    pub public: HttpConfig,
    /// The server for those who run the gateway (`ADMIN_HOST`, `ADMIN_PORT`).
    pub admin: HttpConfig,
    /// What whoever uses the admin server has to show (`ADMIN_TOKEN`).
    pub admin_token: Option<AdminToken>,
    /// By which names browsers may reach the admin server, besides those of this machine (`ADMIN_NAMES`).
    pub admin_names: AdminNames,
    /// The routing table and the policies, as they are at the start.
    pub settings: Settings,
    /// Where they were read from, and are again at a reload (`GATEWAY_CONFIG`).
    pub file: Option<PathBuf>,
    /// What of the environment wins over the file.
    pub overrides: Overrides,
    /// Where the dead letters are (`AMQP_URL`); the gateway has no standing link to it.
    pub broker: BrokerConfig,
    /// Where the gateway keeps its timeline (`DATA_DIR`); in memory where nothing is said, for it owns nothing else.
    pub data: Option<PathBuf>,
    /// Whether faults may be injected through the admin server (`DEMO_FAULTS`).
    pub faults: bool,
}

impl Config {
    /// Reads the environment; mistakes are noted there.
    pub fn from_env(env: &mut Environment) -> Self {
        let public = HttpConfig::from_env(env, 8080);
        let admin = HttpConfig {
            host: env.parse("ADMIN_HOST", IpAddr::V4(Ipv4Addr::LOCALHOST), "an IP address"),
            port: env.parse("ADMIN_PORT", 8081, "a port from 0 to 65535"),
            workers: 1,
            drain: public.drain.min(ADMIN_DRAIN),
            ..public.clone()
        };
        let admin_token = admin_token(env, admin.host);
        let admin_names = AdminNames::parse(&env.text("ADMIN_NAMES", "")).unwrap_or_else(|mistakes| {
            mistakes.iter().for_each(|mistake| env.mistake(format!("ADMIN_NAMES {mistake}")));
            AdminNames::default()
        });
        let overrides = Overrides::from_env(env);
        let file = Some(env.text("GATEWAY_CONFIG", "")).filter(|file| !file.is_empty()).map(PathBuf::from);
        let settings = Settings::load(file.as_deref(), &overrides).unwrap_or_else(|mistakes| {
            mistakes.iter().for_each(|mistake| env.mistake(mistake.to_string()));
            Settings::default()
        });
        let broker = BrokerConfig::from_env(env);
        let data = Some(env.text("DATA_DIR", "")).filter(|folder| !folder.is_empty()).map(PathBuf::from);
        let faults = env.flag("DEMO_FAULTS", false);
        Self { public, admin, admin_token, admin_names, settings, file, overrides, broker, data, faults }
    }
}

/// Reads the token, which may be missing only where nobody but this machine reaches the admin server.
fn admin_token(env: &mut Environment, host: IpAddr) -> Option<AdminToken> {
    let raw = env.text("ADMIN_TOKEN", "");
    if raw.is_empty() {
        if !host.to_canonical().is_loopback() {
            env.mistake(format!(
                "ADMIN_TOKEN must be set where ADMIN_HOST is {host}: whoever reaches the admin port can stop and change \
                 this system; set a secret of at least 8 characters, or leave ADMIN_HOST at 127.0.0.1"
            ));
        }
        return None;
    }
    AdminToken::parse(&raw).map_err(|wrong| env.mistake(format!("ADMIN_TOKEN {wrong}"))).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mistakes(pairs: &[(&str, &str)]) -> Option<String> {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let mut env = Environment::from_pairs(pairs);
        Config::from_env(&mut env);
        env.finish().err().map(|error| error.to_string())
    }

    #[test]
    fn an_admin_port_that_others_reach_needs_a_token() {
        for host in ["0.0.0.0", "::", "10.0.0.1"] {
            let said = mistakes(&[("ADMIN_HOST", host)]).expect("it is a mistake");
            assert!(said.contains("ADMIN_TOKEN must be set"), "{said}");
            assert_eq!(mistakes(&[("ADMIN_HOST", host), ("ADMIN_TOKEN", "correct battery")]), None);
        }
        for host in ["127.0.0.1", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(mistakes(&[("ADMIN_HOST", host)]), None);
        }
    }

    #[test]
    fn a_token_that_anybody_could_guess_is_refused_and_not_repeated() {
        let said = mistakes(&[("ADMIN_TOKEN", "secret")]).expect("it is a mistake");

        assert!(said.contains("ADMIN_TOKEN must be at least 8 characters long"), "{said}");
        assert!(!said.contains("secret"), "{said}");
    }

    #[test]
    fn a_name_that_no_browser_could_say_is_a_mistake() {
        let said =
            mistakes(&[("ADMIN_NAMES", "gateway.example,http://other.example")]).expect("it is a mistake");

        assert!(said.contains("ADMIN_NAMES must be names without scheme and port"), "{said}");
        assert!(said.contains("http://other.example"), "{said}");
        assert_eq!(mistakes(&[("ADMIN_NAMES", "gateway.example, 10.0.0.1")]), None);
    }

    #[test]
    fn a_file_that_is_named_and_not_there_is_a_mistake_like_any_other() {
        let pairs = [("GATEWAY_CONFIG", "no such file.toml"), ("AUTH", "maybe")];
        let mut env = Environment::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));

        Config::from_env(&mut env);

        let message = env.finish().expect_err("there are two mistakes").to_string();
        assert!(message.contains("no such file.toml: cannot be read"), "{message}");
        assert!(message.contains("AUTH must be"), "{message}");
    }
}
