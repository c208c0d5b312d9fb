use std::{sync::Arc, time::Duration};

use common::config::Environment;

use super::Endpoint;

/// Where the services are and how often they are asked how they are.
#[derive(Clone, Debug)]
pub struct UpstreamConfig {
    /// The users service (`USER_URL`).
    pub users: Arc<Endpoint>,
    /// The orders service (`ORDER_URL`).
    pub orders: Arc<Endpoint>,
    /// The pause between two questions (`GATEWAY_HEALTH_MS`).
    pub health_every: Duration,
}

impl UpstreamConfig {
    /// Reads the environment; mistakes are noted there.
    pub fn from_env(env: &mut Environment) -> Self {
        let health_every = env.millis("GATEWAY_HEALTH_MS", Duration::from_secs(1));
        if health_every.is_zero() {
            env.mistake("GATEWAY_HEALTH_MS must not be 0: the services would be asked without a pause");
        }
        Self {
            users: endpoint(env, "USER_URL", "users", "http://127.0.0.1:3001"),
            orders: endpoint(env, "ORDER_URL", "orders", "http://127.0.0.1:3002"),
            health_every,
        }
    }

    /// Every endpoint.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        vec![self.users.clone(), self.orders.clone()]
    }
}

fn endpoint(env: &mut Environment, variable: &str, name: &'static str, default: &str) -> Arc<Endpoint> {
    let url = env.text(variable, default);
    let endpoint = Endpoint::parse(name, &url).or_else(|mistake| {
        env.mistake(format!("{variable} must be {mistake}, not {url:?}"));
        Endpoint::parse(name, default)
    });
    Arc::new(endpoint.expect("the default is a sound URL"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services_are_not_asked_without_a_pause() {
        let mut env = Environment::from_pairs([("GATEWAY_HEALTH_MS".to_owned(), "0".to_owned())]);

        UpstreamConfig::from_env(&mut env);

        assert!(env.finish().is_err());
    }
}
