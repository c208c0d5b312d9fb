use std::{convert::Infallible, sync::Arc, time::Duration};

use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, WrapFuture};
use common::{
    backoff::Backoff,
    http::{Client, ClientConfig, DESCRIPTION_PATH, flaws},
    supervision::Observe,
    telemetry::trace::Origin,
};
use futures_util::future::join_all;
use serde::Serialize;
use serde_json::Value;

use super::{
    ApiDescription,
    outline::{DescribedUpstream, Outline},
};

/// How long a service may take to describe itself.
const DEADLINE: Duration = Duration::from_secs(2);

/// How often services are asked that have answered.
const EVERY: Duration = Duration::from_secs(60);

/// How soon they are asked again where one has not.
const AGAIN: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(10));

/// The shortest wait, however lucky the draw.
const BREATH: Duration = Duration::from_millis(100);

/// Asks every service for its description, again and again, and publishes them as one.
pub struct Fetcher {
    description: ApiDescription,
    outline: Arc<dyn Fn() -> Outline + Send + Sync>,
    client: Client,
}

impl Fetcher {
    /// The actor's name.
    pub const NAME: &'static str = "api-description";

    /// Publishes to `description`; `outline` is asked each time for the settings and endpoints of that moment.
    pub fn new(description: ApiDescription, outline: Arc<dyn Fn() -> Outline + Send + Sync>) -> Self {
        Self { description, outline, client: Client::new(ClientConfig::default()) }
    }
}

impl Actor for Fetcher {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        let fetching = fetch_for_ever(self.description.clone(), self.outline.clone(), self.client.clone());
        context.spawn(fetching.into_actor(self).map(|never, _, _| match never {}));
    }
}

async fn fetch_for_ever(
    description: ApiDescription,
    outline: Arc<dyn Fn() -> Outline + Send + Sync>,
    client: Client,
) -> Infallible {
    let mut failures = 0;
    loop {
        let wait = if fetch(&description, &outline(), &client).await {
            failures = 0;
            EVERY
        } else {
            failures += 1;
            BREATH + AGAIN.delay(failures, fastrand::f64())
        };
        tokio::time::sleep(wait).await;
    }
}

/// Asks every service once. Returns whether all have answered.
async fn fetch(description: &ApiDescription, outline: &Outline, client: &Client) -> bool {
    let heard = join_all(outline.upstreams.iter().map(|upstream| ask(upstream, client))).await;
    let mut all = true;
    for (upstream, heard) in outline.upstreams.iter().zip(heard) {
        match heard {
            Ok(said) => description.hear(&upstream.name, said),
            Err(why) => {
                all = false;
                log::debug!("event=not_described upstream={} why={why:?}", upstream.name);
            }
        }
    }
    if description.publish(outline) {
        log::info!("event=api_described");
    }
    all
}

async fn ask(upstream: &DescribedUpstream, client: &Client) -> Result<Value, String> {
    let base = upstream.base_url.as_deref().ok_or("it has no endpoint")?;
    let url = format!("{}{DESCRIPTION_PATH}", base.trim_end_matches('/'));
    let answer =
        client.get(&url, &Origin::unrecorded(), DEADLINE).await.map_err(|error| error.to_string())?;
    if !answer.status.is_success() {
        return Err(format!("it answers {}", answer.status.as_u16()));
    }
    let said: Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    match flaws(&said).into_iter().next() {
        Some(flaw) => Err(flaw),
        None => Ok(said),
    }
}

/// What [`Fetcher`] shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct FetcherState {
    /// The services that have described themselves.
    pub described: Vec<String>,
}

impl Handler<Observe> for Fetcher {
    type Result = actix::MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&FetcherState { described: self.description.described() })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::TcpListener,
        sync::oneshot,
    };

    use super::*;
    use crate::api::{DOCUMENT, DescribedRoute};

    fn said(path: &str) -> Value {
        json!({
            "openapi": "3.1.0",
            "info": { "title": path, "version": "1" },
            "paths": { path: { "get": {
                "operationId": path,
                "responses": { "200": { "description": "ok" } },
            } } },
        })
    }

    /// Answers one request after the other with `body`, until it is told to go.
    async fn service(body: String) -> (String, oneshot::Sender<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it listens"));
        let (go, mut gone) = oneshot::channel();
        actix::spawn(async move {
            loop {
                let mut connection = tokio::select! {
                    accepted = listener.accept() => accepted.expect("a connection").0,
                    _ = &mut gone => return,
                };
                let mut request = vec![0; 4096];
                let read = connection.read(&mut request).await.unwrap_or(0);
                let found = request[..read].starts_with(b"GET /openapi.json ");
                let status = if found { "200 OK" } else { "404 Not Found" };
                let head = format!(
                    "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n\r\n",
                    body.len()
                );
                let _ = connection.write_all(format!("{head}{body}").as_bytes()).await;
            }
        });
        (base, go)
    }

    fn outline(users: &str, orders: &str) -> Outline {
        let route = |name: &str| DescribedRoute {
            path: format!("/api/{name}"),
            target: format!("/{name}"),
            upstream: name.to_owned(),
            public: Vec::new(),
        };
        let upstream = |name: &str, base: &str| DescribedUpstream {
            name: name.to_owned(),
            base_url: Some(base.to_owned()),
        };
        Outline {
            routes: vec![route("users"), route("orders")],
            upstreams: vec![upstream("users", users), upstream("orders", orders)],
            ..Outline::default()
        }
    }

    fn paths(description: &ApiDescription) -> Vec<String> {
        let answer = description.answer(DOCUMENT).expect("the description's path");
        let document: Value = serde_json::from_slice(&answer.body).expect("JSON");
        document["paths"].as_object().map(|paths| paths.keys().cloned().collect()).unwrap_or_default()
    }

    #[actix::test]
    async fn what_services_said_stays_while_they_are_away() {
        let (users, users_go) = service(said("/users").to_string()).await;
        let (orders, _orders_go) = service(said("/orders").to_string()).await;
        let outline = outline(&users, &orders);
        let (description, client) = (ApiDescription::new(), Client::new(ClientConfig::default()));

        assert!(fetch(&description, &outline, &client).await);
        assert_eq!(paths(&description), ["/api/orders", "/api/users"]);

        drop(users_go);
        // Until the listener is gone, too.
        while fetch(&description, &outline, &client).await {
            tokio::task::yield_now().await;
        }
        assert_eq!(paths(&description), ["/api/orders", "/api/users"]);
    }

    #[actix::test]
    async fn a_service_that_describes_nothing_leaves_the_others_described() {
        let (users, _users_go) = service(said("/users").to_string()).await;
        for nonsense in ["<html>", "{}", r#"{"openapi":"2.0"}"#] {
            let (orders, _orders_go) = service(nonsense.to_owned()).await;
            let (description, client) = (ApiDescription::new(), Client::new(ClientConfig::default()));

            assert!(!fetch(&description, &outline(&users, &orders), &client).await, "{nonsense}");

            assert_eq!(paths(&description), ["/api/users"], "{nonsense}");
        }
    }

    #[actix::test]
    async fn the_actor_publishes_by_itself() {
        let (users, _users_go) = service(said("/users").to_string()).await;
        let (orders, _orders_go) = service(said("/orders").to_string()).await;
        let description = ApiDescription::new();
        let outline = outline(&users, &orders);

        let _fetcher = Fetcher::new(description.clone(), Arc::new(move || outline.clone())).start();

        let published = async {
            while description.answer(DOCUMENT).is_none_or(|answer| answer.status != 200) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), published).await.expect("published");
        assert_eq!(paths(&description), ["/api/orders", "/api/users"]);
    }
}
