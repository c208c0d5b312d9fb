//! Asks the users service whether a customer exists.
//!
//! *Owns*: the connections to the users service, and the breaker.
//! *Receives*: [`CheckCustomer`].
//! *Sends*: `GET /users/{id}` over HTTP.
//! *When it fails*: callers learn that nobody knows just now, and place no order. The next generation connects
//! afresh.
//!
//! The question is asked within a deadline and, since asking changes nothing, asked again a bounded number of
//! times. While the users service keeps failing, the breaker answers in its stead, at once.

mod breaker;

use std::{
    cell::{Cell, RefCell},
    fmt,
    rc::Rc,
    time::{Duration, Instant},
};

use actix::{Actor, Context, Handler, Message, MessageResult, ResponseFuture};
use common::{
    backoff::Backoff,
    config::Environment,
    http::{Client, ClientConfig, ClientError, ClientResponse, Deadline},
    supervision::Observe,
    telemetry::trace::Origin,
    timeline::{IncidentId, IncidentKind, Timeline},
};
use serde::Serialize;

use crate::domain::CustomerId;
use breaker::{Breaker, BreakerPolicy};

/// Waits between two attempts.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(200));

/// Where the users service is, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct CustomersConfig {
    url: String,
    deadline: Duration,
    attempt: Duration,
    attempts: u32,
    breaker: BreakerPolicy,
}

impl CustomersConfig {
    /// Reads `USER_URL` and the `CUSTOMERS_…` bounds.
    pub fn from_env(env: &mut Environment) -> Self {
        let url = env.text("USER_URL", "http://127.0.0.1:3001");
        let url = url.trim_end_matches('/').to_owned();
        if !url.starts_with("http://") {
            env.mistake(format!("USER_URL must start with http://, not {url:?}"));
        }
        let attempts = env.parse("CUSTOMERS_ATTEMPTS", 3, "a number of attempts from 1");
        if attempts == 0 {
            env.mistake("CUSTOMERS_ATTEMPTS must be a number of attempts from 1, not 0");
        }
        Self {
            url,
            deadline: env.millis("CUSTOMERS_DEADLINE_MS", Duration::from_secs(3)),
            attempt: env.millis("CUSTOMERS_ATTEMPT_MS", Duration::from_secs(1)),
            attempts,
            breaker: BreakerPolicy {
                open_for: env.millis("CUSTOMERS_BREAKER_OPEN_MS", Duration::from_millis(300)),
                ..BreakerPolicy::default()
            },
        }
    }
}

/// The actor; one a service.
pub struct Customers {
    client: Client,
    config: Rc<CustomersConfig>,
    // Shared with the answers in progress, which run on this actor's thread.
    breaker: Rc<RefCell<Watched>>,
    asked: Rc<Cell<u64>>,
}

impl Customers {
    /// Builds a generation without a connection, whose breaker trusts the users service.
    pub fn new(config: CustomersConfig, timeline: Timeline) -> Self {
        let breaker = Watched { breaker: Breaker::new(config.breaker), timeline, incident: None };
        Self {
            client: Client::new(ClientConfig::default()),
            config: Rc::new(config),
            breaker: Rc::new(RefCell::new(breaker)),
            asked: Rc::default(),
        }
    }
}

impl Actor for Customers {
    type Context = Context<Self>;
}

/// Asks whether a customer exists.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Result<bool, CustomersUnavailable>")]
pub struct CheckCustomer {
    /// Who.
    pub id: CustomerId,
    /// The request that asks for it.
    pub origin: Origin,
    /// When that one no longer waits.
    pub deadline: Deadline,
}

/// The users service gave no answer, so nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CustomersUnavailable {
    /// When it is worth asking again.
    pub retry_after: Duration,
}

impl fmt::Display for CustomersUnavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the users service does not answer")
    }
}

impl std::error::Error for CustomersUnavailable {}

impl Handler<CheckCustomer> for Customers {
    type Result = ResponseFuture<Result<bool, CustomersUnavailable>>;

    fn handle(&mut self, question: CheckCustomer, _: &mut Self::Context) -> Self::Result {
        let (client, config) = (self.client.clone(), self.config.clone());
        let (breaker, asked) = (self.breaker.clone(), self.asked.clone());
        Box::pin(async move {
            let left = question.deadline.within(config.deadline);
            let checked = check(&client, &config, &breaker, &asked, &question);
            let in_time = tokio::time::timeout(left, checked).await;
            in_time.unwrap_or(Err(CustomersUnavailable { retry_after: config.breaker.open_for }))
        })
    }
}

async fn check(
    client: &Client,
    config: &CustomersConfig,
    breaker: &RefCell<Watched>,
    asked: &Cell<u64>,
    CheckCustomer { id, origin, deadline }: &CheckCustomer,
) -> Result<bool, CustomersUnavailable> {
    let url = format!("{}/users/{}", config.url, id.as_str());
    for attempt in 0..config.attempts {
        if attempt > 0 {
            tokio::time::sleep(BACKOFF.delay(attempt - 1, fastrand::f64())).await;
        }
        let admitted = breaker.borrow_mut().breaker.admit(Instant::now());
        admitted.map_err(|retry_after| CustomersUnavailable { retry_after })?;
        asked.set(asked.get() + 1);
        let settle = Settle { breaker, settled: false };
        let answer = client.get(&url, origin, deadline.within(config.attempt)).await;
        match known(answer) {
            Ok(known) => {
                settle.succeeded();
                return Ok(known);
            }
            Err(reason) => {
                settle.failed();
                log::debug!("event=users_unavailable attempt={attempt} error={reason:?}");
            }
        }
    }
    Err(CustomersUnavailable { retry_after: config.breaker.open_for })
}

/// Reads an answer of the users service; anything but yes or no is a failure.
fn known(answer: Result<ClientResponse, ClientError>) -> Result<bool, String> {
    match answer {
        Ok(response) if response.status.is_success() => Ok(true),
        Ok(response) if response.status == 404 => Ok(false),
        Ok(response) => Err(format!("status {}", response.status.as_u16())),
        Err(error) => Err(error.to_string()),
    }
}

/// The breaker, and the incident from its opening until an answer closes it.
struct Watched {
    breaker: Breaker,
    timeline: Timeline,
    incident: Option<IncidentId>,
}

impl Watched {
    fn succeeded(&mut self, now: Instant) {
        self.breaker.succeeded(now);
        if self.breaker.state(now) == "closed"
            && let Some(incident) = self.incident.take()
        {
            self.timeline.end(incident);
        }
    }

    fn failed(&mut self, now: Instant) {
        if !self.breaker.failed(now) {
            return;
        }
        match self.incident {
            Some(incident) => self.timeline.again(incident),
            None => {
                log::warn!("event=breaker_opened upstream=users");
                let cause = "the users service does not answer";
                self.incident = Some(self.timeline.begin(IncidentKind::Breaker, "users", cause));
            }
        }
    }
}

impl Drop for Watched {
    /// The next generation begins with a closed breaker.
    fn drop(&mut self) {
        if let Some(incident) = self.incident.take() {
            self.timeline.end(incident);
        }
    }
}

/// Tells the breaker how a request went, also when the deadline cuts it short.
struct Settle<'a> {
    breaker: &'a RefCell<Watched>,
    settled: bool,
}

impl Settle<'_> {
    fn succeeded(mut self) {
        self.settled = true;
        self.breaker.borrow_mut().succeeded(Instant::now());
    }

    fn failed(self) {}
}

impl Drop for Settle<'_> {
    fn drop(&mut self) {
        if !self.settled {
            self.breaker.borrow_mut().failed(Instant::now());
        }
    }
}

/// What the actor shows of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct CustomersState {
    /// The service that it asks.
    asks: &'static str,
    /// How often it has.
    asked: u64,
    breaker: &'static str,
}

impl Handler<Observe> for Customers {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&CustomersState {
            asks: "users",
            asked: self.asked.get(),
            breaker: self.breaker.borrow().breaker.state(Instant::now()),
        })
    }
}
