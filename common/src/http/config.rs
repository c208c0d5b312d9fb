use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use crate::config::Environment;

/// Where a server listens, and its bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address to listen on.
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one.
    pub port: u16,
    /// Threads that serve requests.
    pub workers: usize,
    /// How long requests in progress may take to finish once the server stops.
    pub drain: Duration,
    /// Most connections that one worker holds; others wait in the backlog.
    pub max_connections: usize,
    /// How long a connection is kept without a request. Longer than the 30 s of [`Client`](super::Client),
    /// so that the client's side ends first and no request meets a connection that is just being closed.
    pub keep_alive: Duration,
}

impl HttpConfig {
    /// Reads `HOST`, `PORT`, `HTTP_WORKERS`, `HTTP_MAX_CONNECTIONS` and `SHUTDOWN_DRAIN_MS`.
    pub fn from_env(env: &mut Environment, default_port: u16) -> Self {
        let defaults = Self::default();
        let config = Self {
            host: env.parse("HOST", defaults.host, "an IP address"),
            port: env.parse("PORT", default_port, "a port from 0 to 65535"),
            workers: env.parse("HTTP_WORKERS", defaults.workers, "a number from 1 to 512"),
            drain: env.millis("SHUTDOWN_DRAIN_MS", defaults.drain),
            max_connections: env.parse("HTTP_MAX_CONNECTIONS", defaults.max_connections, "a number from 1"),
            ..defaults
        };
        if !(1..=512).contains(&config.workers) {
            env.mistake(format!("HTTP_WORKERS must be a number from 1 to 512, not {}", config.workers));
        }
        if config.max_connections == 0 {
            env.mistake("HTTP_MAX_CONNECTIONS must be a number from 1, not 0");
        }
        config
    }
}

impl Default for HttpConfig {
    /// Any free port on the loopback interface.
    fn default() -> Self {
        Self {
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            workers: 2,
            drain: Duration::from_secs(10),
            max_connections: 4096,
            keep_alive: Duration::from_secs(75),
        }
    }
}
