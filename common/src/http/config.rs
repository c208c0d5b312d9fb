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
    /// The longest [`drain`](Self::drain). A process that is told to stop ends within 25 s, of which up to two pass before
    /// the drain; and after it a service finishes what its consumers have in hand, and empties its outbox.
    pub const DRAIN_MAX: Duration = Duration::from_secs(16);

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
        if config.drain > Self::DRAIN_MAX {
            env.mistake(format!(
                "SHUTDOWN_DRAIN_MS must be at most {}, not {}: a process that is told to stop ends within 25 s, and has \
                 more to do than to answer requests",
                Self::DRAIN_MAX.as_millis(),
                config.drain.as_millis(),
            ));
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(drain: &str) -> Result<Duration, String> {
        let mut env = Environment::from_pairs([("SHUTDOWN_DRAIN_MS".to_owned(), drain.to_owned())]);
        let config = HttpConfig::from_env(&mut env, 3001);
        env.finish().map(|()| config.drain).map_err(|error| error.to_string())
    }

    #[test]
    fn a_drain_for_which_a_stop_has_no_time_is_refused_with_the_longest_that_it_has() {
        assert_eq!(read("16000"), Ok(HttpConfig::DRAIN_MAX));

        let refusal = read("16001").expect_err("it is too long");
        assert!(refusal.starts_with("SHUTDOWN_DRAIN_MS must be at most 16000, not 16001"), "{refusal}");
    }
}
