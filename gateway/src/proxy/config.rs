use std::time::Duration;

use common::config::Environment;

use super::Networks;

/// Deadlines and bounds of what passes through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyConfig {
    /// How long connecting to a service may take (`GATEWAY_CONNECT_MS`).
    pub connect: Duration,
    /// How long a service may take to begin its answer once it has the whole request (`GATEWAY_HEAD_MS`).
    pub head: Duration,
    /// How long an exchange may take in all (`GATEWAY_WHOLE_MS`).
    pub whole: Duration,
    /// How long a client may stay silent within a body (`GATEWAY_BODY_IDLE_MS`).
    pub body_idle: Duration,
    /// How many requests may be on their way (`GATEWAY_IN_FLIGHT`); more are refused at once.
    pub in_flight: usize,
    /// Whose `X-Forwarded-*` are believed (`GATEWAY_TRUSTED`): networks such as `10.0.0.0/8`, separated by
    /// commas.
    pub trusted: Networks,
}

impl ProxyConfig {
    /// Reads the environment; mistakes are noted there.
    pub fn from_env(env: &mut Environment) -> Self {
        let defaults = Self::default();
        Self {
            connect: env.millis("GATEWAY_CONNECT_MS", defaults.connect),
            head: env.millis("GATEWAY_HEAD_MS", defaults.head),
            whole: env.millis("GATEWAY_WHOLE_MS", defaults.whole),
            body_idle: env.millis("GATEWAY_BODY_IDLE_MS", defaults.body_idle),
            in_flight: env.parse("GATEWAY_IN_FLIGHT", defaults.in_flight, "a whole number"),
            trusted: env.parse("GATEWAY_TRUSTED", defaults.trusted, "networks such as 10.0.0.0/8"),
        }
    }
}

impl Default for ProxyConfig {
    fn default() -> Self {
        Self {
            connect: Duration::from_millis(500),
            head: Duration::from_secs(5),
            whole: Duration::from_secs(30),
            body_idle: Duration::from_secs(10),
            in_flight: 1024,
            trusted: Networks::default(),
        }
    }
}
