//! What the gateway is told by its environment.

use std::net::{IpAddr, Ipv4Addr};

use common::{config::Environment, http::HttpConfig};

use crate::{proxy::ProxyConfig, upstream::old::UpstreamConfig};

/// Everything that the gateway is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The public server (`HOST`, `PORT`).
    pub public: HttpConfig,
    /// The server for those who run the gateway (`ADMIN_HOST`, `ADMIN_PORT`).
    pub admin: HttpConfig,
    /// Deadlines and bounds of what passes through.
    pub proxy: ProxyConfig,
    /// The services behind.
    pub upstream: UpstreamConfig,
    /// Whether faults may be injected through the admin server (`DEMO_FAULTS`).
    pub faults: bool,
}

impl Config {
    /// Reads the environment; mistakes are noted there.
    pub fn from_env(env: &mut Environment) -> Self {
        // A client that goes away takes its request to the service with it.
        let public = HttpConfig { half_close: false, ..HttpConfig::from_env(env, 8080) };
        let admin = HttpConfig {
            host: env.parse("ADMIN_HOST", IpAddr::V4(Ipv4Addr::LOCALHOST), "an IP address"),
            port: env.parse("ADMIN_PORT", 8081, "a port from 0 to 65535"),
            workers: 1,
            ..public.clone()
        };
        Self {
            public,
            admin,
            proxy: ProxyConfig::from_env(env),
            upstream: UpstreamConfig::from_env(env),
            faults: env.flag("DEMO_FAULTS", false),
        }
    }
}
