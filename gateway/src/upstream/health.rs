use std::{
    convert::Infallible,
    time::{Duration, Instant},
};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use common::{
    http::{Client, ClientConfig},
    supervision::Observe,
    telemetry::trace::Origin,
};
use futures_util::future::{join, join_all};
use serde::{Deserialize, Serialize};

use super::{Endpoint, Health, Upstream, UpstreamState, Upstreams, resolve::resolve_for_ever};

/// How long an endpoint may take to say how it is.
const DEADLINE: Duration = Duration::from_secs(1);
/// An endpoint that is not ready is asked so many times as often, to be used again soon.
const OFTEN: u32 = 4;

/// Finds the endpoints of every upstream and asks each how it is, again and again.
#[derive(Debug)]
pub struct HealthCheck {
    upstreams: Upstreams,
    client: Client,
}

impl HealthCheck {
    /// Looks after `upstreams`.
    pub fn new(upstreams: Upstreams) -> Self {
        // A kept connection would say nothing about whether a new one comes about.
        let client = Client::new(ClientConfig { idle_most: 0, ..ClientConfig::default() });
        Self { upstreams, client }
    }
}

impl Actor for HealthCheck {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let watching = watch_all(self.upstreams.clone(), self.client.clone());
        context.spawn(watching.into_actor(self).map(|never, _, _| match never {}));
    }
}

async fn watch_all(upstreams: Upstreams, client: Client) -> Infallible {
    loop {
        let all = upstreams.all();
        // Other settings start everything anew, which is simple, and as rare as they are.
        tokio::select! {
            biased;
            () = upstreams.changed() => continue,
            _ = join_all(all.iter().map(|upstream| watch(upstream, &client))) => {}
        }
        // Only where there is no upstream at all.
        upstreams.changed().await;
    }
}

async fn watch(upstream: &Upstream, client: &Client) {
    let names = upstream.names();
    join(join_all(names.iter().map(|url| resolve_for_ever(upstream, url))), ask_all(upstream, client)).await;
}

async fn ask_all(upstream: &Upstream, client: &Client) -> Infallible {
    loop {
        let endpoints = upstream.endpoints();
        tokio::select! {
            biased;
            () = upstream.endpoints_changed() => continue,
            _ = join_all(endpoints.iter().map(|endpoint| ask_for_ever(upstream, endpoint, client))) => {}
        }
        // Only where there is no endpoint at all.
        upstream.endpoints_changed().await;
    }
}

async fn ask_for_ever(upstream: &Upstream, endpoint: &Endpoint, client: &Client) -> Infallible {
    loop {
        let settings = upstream.settings();
        let began = Instant::now();
        let health = ask(endpoint, &settings.health_path, client).await;
        let pause = if health.is_well() { settings.health_every } else { settings.health_every / OFTEN };
        upstream.heard(endpoint, health, began, Instant::now());
        tokio::time::sleep(pause).await;
    }
}

async fn ask(endpoint: &Endpoint, path: &str, client: &Client) -> Health {
    let url = format!("http://{}{}{path}", endpoint.address(), endpoint.base_path());
    match client.get_as(endpoint.authority(), &url, &Origin::unrecorded(), DEADLINE).await {
        Ok(answer) if answer.status.is_success() => served(&answer.body),
        Ok(answer) => Health::Unready(format!("answers {}", answer.status.as_u16())),
        Err(error) => Health::Unready(error.to_string()),
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
    /// Every upstream, in the order of the settings.
    pub upstreams: Vec<UpstreamState>,
}

impl Handler<Observe> for HealthCheck {
    type Result = actix::MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let now = Instant::now();
        let upstreams = self.upstreams.all().iter().map(|upstream| upstream.observe(now)).collect();
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
