use std::{convert::Infallible, sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use common::{
    http::{Client, ClientConfig},
    supervision::Observe,
    telemetry::trace::Origin,
};
use futures_util::future::join_all;
use serde::{Deserialize, Serialize};

use super::{Endpoint, Health};

/// How long an endpoint may take to say how it is.
const DEADLINE: Duration = Duration::from_secs(1);

/// Asks every endpoint for `/health/ready`, again and again.
#[derive(Debug)]
pub struct HealthCheck {
    endpoints: Vec<Arc<Endpoint>>,
    every: Duration,
    client: Client,
}

impl HealthCheck {
    /// Asks `endpoints`, with a pause of `every` in between.
    pub fn new(endpoints: Vec<Arc<Endpoint>>, every: Duration) -> Self {
        Self { endpoints, every, client: Client::new(ClientConfig::default()) }
    }
}

impl Actor for HealthCheck {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let asking = ask_for_ever(self.endpoints.clone(), self.client.clone(), self.every);
        context.spawn(asking.into_actor(self).map(|never, _, _| match never {}));
    }
}

async fn ask_for_ever(endpoints: Vec<Arc<Endpoint>>, client: Client, every: Duration) -> Infallible {
    loop {
        join_all(endpoints.iter().map(|endpoint| ask(endpoint, &client))).await;
        tokio::time::sleep(every).await;
    }
}

async fn ask(endpoint: &Endpoint, client: &Client) {
    let url = format!("http://{}{}/health/ready", endpoint.authority(), endpoint.base_path());
    let heard = match client.get(&url, &Origin::fresh(), DEADLINE).await {
        Ok(answer) if answer.status.is_success() => served(&answer.body),
        Ok(answer) => Health::Unready(format!("answers {}", answer.status.as_u16())),
        Err(error) => Health::Unready(error.to_string()),
    };
    if heard != endpoint.health() {
        log::info!("event=upstream_health upstream={} health={heard:?}", endpoint.name());
        endpoint.heard(heard);
    }
}

/// Reads the body of a 200, which tells ready from degraded.
fn served(body: &[u8]) -> Health {
    #[derive(Deserialize)]
    struct Readiness {
        #[serde(default)]
        reasons: Vec<String>,
    }
    match serde_json::from_slice::<Readiness>(body) {
        Ok(Readiness { reasons }) if !reasons.is_empty() => Health::Degraded(reasons.join(", ")),
        // A service that says no more than 200 is ready.
        _ => Health::Ready,
    }
}

/// What [`HealthCheck`] shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HealthCheckState {
    /// What was heard last, by service.
    pub upstreams: Vec<(&'static str, Health)>,
}

impl Handler<Observe> for HealthCheck {
    type Result = actix::MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let upstreams = self.endpoints.iter().map(|endpoint| (endpoint.name(), endpoint.health())).collect();
        Observe::answer::<Self>(&HealthCheckState { upstreams })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_serves_with_something_missing_is_degraded() {
        let degraded = br#"{"status":"degraded","reasons":["broker: away"]}"#;

        assert_eq!(served(degraded), Health::Degraded("broker: away".to_owned()));
        assert_eq!(served(br#"{"status":"ready"}"#), Health::Ready);
        assert_eq!(served(b"OK"), Health::Ready);
    }
}
