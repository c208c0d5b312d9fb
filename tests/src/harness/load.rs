//! Load from a bounded number of clients, of which every answer is remembered.
//!
//! A client whose call ends without an answer, or with a 500, 502 or 504, knows nothing: the write may have happened. With keys on, the load can ask
//! again under the same `Idempotency-Key` until it knows, so that the test can count exactly.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::sleep;
use uuid::Uuid;

use super::eventually;
use crate::http::Http;

const AFTER_REFUSAL: Duration = Duration::from_millis(5);

/// What the clients send.
#[derive(Clone)]
pub struct Plan {
    /// How many clients, each with one call at a time.
    pub clients: usize,
    /// Where to.
    pub path: String,
    /// The body of the call with this number.
    pub body: Arc<dyn Fn(u64) -> Value + Send + Sync>,
    /// Whether every call carries an `Idempotency-Key`.
    pub keys: bool,
    /// How long a client waits after each answer; after a refusal at least 5 ms.
    pub pause: Duration,
}

impl Plan {
    /// Orders of the user, with keys.
    pub fn orders(user_id: impl Into<String>) -> Self {
        let user_id = user_id.into();
        let body = move |number| json!({ "userId": user_id, "items": [format!("item {number}")] });
        Self {
            clients: 8,
            path: "/api/orders".into(),
            body: Arc::new(body),
            keys: true,
            pause: Duration::ZERO,
        }
    }

    /// Users of different names, with keys.
    pub fn users() -> Self {
        let run = Uuid::now_v7().simple();
        let body = move |number| json!({ "name": format!("User {number}"), "email": format!("{number}.{run}@example.com") });
        Self {
            clients: 8,
            path: "/api/users".into(),
            body: Arc::new(body),
            keys: true,
            pause: Duration::ZERO,
        }
    }

    /// As many clients as this.
    pub fn clients(self, clients: usize) -> Self {
        Self { clients, ..self }
    }

    /// Whether every call carries an `Idempotency-Key`.
    pub fn keys(self, keys: bool) -> Self {
        Self { keys, ..self }
    }

    /// How long a client waits after each answer.
    pub fn pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }
}

/// A call of which nobody knows whether it was done.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// Its idempotency key, where it carried one.
    pub key: Option<String>,
    /// Its body.
    pub body: Value,
    /// Why it is not known.
    pub error: String,
}

/// What the clients got.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The `id` of every 2xx.
    pub accepted: Vec<String>,
    /// How many answers of each other status.
    pub refused: BTreeMap<u16, u64>,
    /// One whole answer of each other status, to print.
    pub refusals: BTreeMap<u16, String>,
    /// Neither accepted nor refused.
    pub unknown: Vec<Attempt>,
    /// The longest time to a 2xx.
    pub slowest: Duration,
}

impl Report {
    /// How many answers were no 2xx.
    pub fn refused_count(&self) -> u64 {
        self.refused.values().sum()
    }

    fn merge(mut self, other: Report) -> Self {
        self.accepted.extend(other.accepted);
        for (status, count) in other.refused {
            *self.refused.entry(status).or_default() += count;
        }
        self.refusals.extend(other.refusals);
        self.unknown.extend(other.unknown);
        self.slowest = self.slowest.max(other.slowest);
        self
    }

    /// Asks again, under the same key, for every call of unknown outcome until it is accepted: each then counts once.
    ///
    /// # Panics
    ///
    /// When a call had no key, or is still not accepted after 30 s.
    pub async fn settle(&mut self, http: &Http, plan: &Plan) {
        for attempt in std::mem::take(&mut self.unknown) {
            let key = attempt.key.as_deref().expect("only a call with a key can be settled");
            let id =
                eventually(Duration::from_secs(30), &format!("POST {} is settled", plan.path), async || {
                    let call = http.post(&plan.path).json(&attempt.body).header("Idempotency-Key", key);
                    let answer = call.send().await.map_err(|error| error.to_string())?;
                    if answer.status.is_success() {
                        Ok(id_of(&answer.json()))
                    } else {
                        Err(answer.to_string())
                    }
                })
                .await;
            self.accepted.push(id);
        }
    }
}

/// Clients at work.
#[must_use = "the load runs until it is stopped"]
pub struct Load {
    shared: Arc<Shared>,
    clients: Vec<JoinHandle<Report>>,
}

#[derive(Default)]
struct Shared {
    next: AtomicU64,
    accepted: AtomicU64,
    is_over: AtomicBool,
}

impl Load {
    /// Starts the clients. Each calls, waits for the answer, and calls again until the load is stopped.
    pub fn start(http: &Http, plan: &Plan) -> Self {
        let shared = Arc::new(Shared::default());
        let client = || tokio::spawn(work(Http::new(http.base()), plan.clone(), Arc::clone(&shared)));
        let clients = (0..plan.clients).map(|_| client()).collect();
        Self { shared, clients }
    }

    /// How many calls were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Waits until this many more calls were accepted.
    ///
    /// # Panics
    ///
    /// When they are not within 30 s.
    pub async fn wait_accepted(&self, more: u64) {
        let goal = self.accepted() + more;
        eventually(Duration::from_secs(30), "calls are accepted", async || {
            let accepted = self.accepted();
            if accepted >= goal { Ok(()) } else { Err(format!("{accepted} of {goal}")) }
        })
        .await;
    }

    /// Lets each client end its call and returns what all of them got.
    ///
    /// # Panics
    ///
    /// When a client panicked: it got a 2xx without an `id`.
    pub async fn stop(mut self) -> Report {
        self.shared.is_over.store(true, Ordering::Relaxed);
        let reports = join_all(self.clients.drain(..)).await;
        reports
            .into_iter()
            .map(|report| report.expect("a client does not panic"))
            .fold(Report::default(), Report::merge)
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::Relaxed);
    }
}

async fn work(http: Http, plan: Plan, shared: Arc<Shared>) -> Report {
    let mut report = Report::default();

    while !shared.is_over.load(Ordering::Relaxed) {
        let body = (plan.body)(shared.next.fetch_add(1, Ordering::Relaxed));
        let key = plan.keys.then(|| Uuid::now_v7().to_string());
        let mut call = http.post(&plan.path).json(&body);
        if let Some(key) = &key {
            call = call.header("Idempotency-Key", key);
        }

        let sent = Instant::now();
        let mut pause = plan.pause;
        match call.send().await {
            Ok(answer) if answer.status.is_success() => {
                report.accepted.push(id_of(&answer.json()));
                report.slowest = report.slowest.max(sent.elapsed());
                shared.accepted.fetch_add(1, Ordering::Relaxed);
            }
            Ok(answer) if is_unknown(answer.status) => {
                report.unknown.push(Attempt { key, body, error: answer.to_string() });
                pause = pause.max(AFTER_REFUSAL);
            }
            Ok(answer) => {
                *report.refused.entry(answer.status.as_u16()).or_default() += 1;
                report.refusals.insert(answer.status.as_u16(), answer.to_string());
                pause = pause.max(AFTER_REFUSAL);
            }
            Err(error) => {
                report.unknown.push(Attempt { key, body, error: error.to_string() });
                pause = pause.max(AFTER_REFUSAL);
            }
        }
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
    report
}

/// A gateway that lost its upstream knows no more than the client. Only 503 promises that nothing was done.
fn is_unknown(status: StatusCode) -> bool {
    status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE
}

fn id_of(resource: &Value) -> String {
    resource["id"].as_str().unwrap_or_else(|| panic!("no id in {resource}")).into()
}
