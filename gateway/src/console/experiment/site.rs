use std::time::Duration;

use bytes::Bytes;
use common::{
    http::{Client, ClientConfig, ClientResponse},
    telemetry::trace::{Origin, RequestId},
};
use http::{Method, Request};
use serde_json::Value;

use super::{Breaking, plan::SERVICES};
use crate::console::{
    Fleet,
    fleet::{Heard, Place, query_value},
};

/// How long a process may take to say how it is: longer than it waits for its slowest actor.
const LOOK_DEADLINE: Duration = Duration::from_secs(2);

/// How long a question to a store may take.
const ASK_DEADLINE: Duration = Duration::from_secs(5);

/// Entries of a page of orders.
const PAGE: usize = 100;

/// Where experiments happen: the gateway's own public entry, as a client sees it, and the services behind, of which the
/// stores are asked without a detour.
#[derive(Clone)]
pub struct Site {
    fleet: Fleet,
    client: Client,
    entry: String,
}

impl Site {
    /// The services of `fleet`, and the public entry `entry`, such as `http://127.0.0.1:8080`.
    pub fn new(fleet: Fleet, entry: impl Into<String>) -> Self {
        let client = Client::new(ClientConfig { idle_most: 32, ..ClientConfig::default() });
        Self { fleet, client, entry: entry.into() }
    }

    /// Posts to the public entry, under a key that makes it safe to do so again.
    pub(super) async fn post(
        &self,
        path: &str,
        body: &Bytes,
        key: &str,
        request_id: &str,
        deadline: Duration,
    ) -> Result<ClientResponse, PostError> {
        let request = Request::post(format!("{}{path}", self.entry))
            .header("content-type", "application/json")
            .header("idempotency-key", format!("\"{key}\""))
            .body(body.clone())
            .map_err(|_| PostError::NotSent)?;
        let fresh = Origin::unrecorded();
        let origin =
            Origin { request_id: RequestId::accept(request_id).unwrap_or(fresh.request_id.clone()), ..fresh };
        let answer = self.client.send(request, &origin, deadline).await;
        answer.map_err(|error| if error.is_connect() { PostError::NotSent } else { PostError::Unknown })
    }

    /// Tells a service to fail.
    pub(super) async fn inject(&self, breaking: &Breaking) -> Result<(), String> {
        let Some(place) = self.place(&breaking.service) else {
            return Err(format!("nobody knows where {} is", breaking.service));
        };
        let (path, body) = breaking.request();
        match self.fleet.ask(&place, Method::POST, &path, Some(&body), ASK_DEADLINE).await {
            Heard::Said(_) => Ok(()),
            Heard::Refused(status, said) => {
                let why = said["detail"].as_str().or(said["error"].as_str()).unwrap_or("without a reason");
                Err(format!("{} refused the fault: {status}, {why}", breaking.service))
            }
            Heard::Silent(why) => Err(format!("{} did not take the fault: {why}", breaking.service)),
        }
    }

    /// How a service is, as its `/actors` tells; `None` where it does not answer.
    pub(super) async fn look(&self, service: &str) -> Option<Value> {
        let place = self.place(service)?;
        self.said(&place, "/actors", LOOK_DEADLINE).await
    }

    /// How many events wait in the outboxes; `None` where one of the services does not tell.
    pub(super) async fn waiting(&self) -> Waiting {
        let mut waiting = Waiting { known: 0, all: true };
        for service in SERVICES {
            let report = self.look(service).await.unwrap_or_default();
            match actor(&report, "repository")["observed"]["outboxPending"].as_u64() {
                Some(events) => waiting.known += events,
                None => waiting.all = false,
            }
        }
        waiting
    }

    /// Whether every service, and the gateway in front, has all that it needs.
    pub(super) async fn is_ready(&self) -> bool {
        for place in self.fleet.places() {
            let said = self.said(&place, "/health/ready", LOOK_DEADLINE).await;
            if said.is_none_or(|said| said["status"] != "ready") {
                return false;
            }
        }
        let url = format!("{}/health/ready", self.entry);
        let answer = self.client.get(&url, &Origin::unrecorded(), LOOK_DEADLINE).await;
        let said = answer.ok().and_then(|answer| serde_json::from_slice::<Value>(&answer.body).ok());
        said.is_some_and(|said| said["status"] == "ready")
    }

    /// How many orders a user is counted to have.
    pub(super) async fn counted(&self, user: &str) -> Option<u64> {
        let place = self.place("users")?;
        self.said(&place, &format!("/users/{user}"), ASK_DEADLINE).await?["orderCount"].as_u64()
    }

    /// A page of a user's orders: their ids, and the cursor of the next page.
    pub(super) async fn page(
        &self,
        user: &str,
        cursor: Option<&str>,
    ) -> Option<(Vec<String>, Option<String>)> {
        let place = self.place("orders")?;
        let mut path = format!("/orders?limit={PAGE}&userId={}", query_value(user));
        if let Some(cursor) = cursor {
            path.push_str(&format!("&cursor={}", query_value(cursor)));
        }
        let said = self.said(&place, &path, ASK_DEADLINE).await?;
        let ids = said["items"].as_array()?.iter().map(|order| Some(order["id"].as_str()?.to_owned()));
        Some((ids.collect::<Option<_>>()?, said["nextCursor"].as_str().map(str::to_owned)))
    }

    /// Whether an order is there; `None` where that cannot be asked.
    pub(super) async fn has_order(&self, id: &str) -> Option<bool> {
        let place = self.place("orders")?;
        match self.fleet.ask(&place, Method::GET, &format!("/orders/{id}"), None, ASK_DEADLINE).await {
            Heard::Said(_) => Some(true),
            Heard::Refused(404, _) => Some(false),
            Heard::Refused(..) | Heard::Silent(_) => None,
        }
    }

    fn place(&self, service: &str) -> Option<Place> {
        self.fleet.places().into_iter().find(|place| place.service == service)
    }

    async fn said(&self, place: &Place, path: &str, deadline: Duration) -> Option<Value> {
        match self.fleet.ask(place, Method::GET, path, None, deadline).await {
            Heard::Said(said) => Some(said),
            Heard::Refused(..) | Heard::Silent(_) => None,
        }
    }
}

/// Why there is no answer from the public entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PostError {
    /// It was never sent.
    NotSent,
    /// Whether it arrived, nobody knows.
    Unknown,
}

/// Events in the outboxes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    /// In those that tell.
    pub(super) known: u64,
    /// Whether all tell.
    pub(super) all: bool,
}

/// One actor of a process, from its `/actors`; null where it is not there.
pub(super) fn actor<'a>(report: &'a Value, name: &str) -> &'a Value {
    let actors = report["actors"].as_array();
    actors.and_then(|actors| actors.iter().find(|actor| actor["name"] == name)).unwrap_or(&Value::Null)
}
