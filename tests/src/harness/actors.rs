//! What a service tells of its actors, and how one of them is made to fail.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Child, eventually};
use crate::http::Answer;

/// What `GET /actors` of one service answered.
#[derive(Clone, Debug)]
pub struct Actors(Value);

impl Actors {
    /// Asks the service.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub async fn of(child: &Child) -> Self {
        Self(child.actors().await)
    }

    /// Asks the service; `None` where it does not answer.
    pub async fn asked(child: &Child) -> Option<Self> {
        let answer = child.internal.get("/actors").deadline(Duration::from_secs(2)).send().await.ok()?;
        let actors = serde_json::from_slice(&answer.body).ok()?;
        answer.status.is_success().then_some(Self(actors))
    }

    /// Every actor's name.
    pub fn names(&self) -> Vec<String> {
        self.all().iter().filter_map(|actor| actor["name"].as_str().map(str::to_owned)).collect()
    }

    /// Which generation lives.
    pub fn generation(&self, name: &str) -> u64 {
        self.number(name, "generation")
    }

    /// How often it was restarted.
    pub fn restarts(&self, name: &str) -> u64 {
        self.number(name, "restarts")
    }

    /// Whether it works.
    pub fn is_running(&self, name: &str) -> bool {
        self.actor(name)["status"] == "running"
    }

    /// What it shows of itself; null where it does not answer.
    pub fn observed(&self, name: &str) -> Value {
        self.actor(name)["observed"].clone()
    }

    /// Its incidents, oldest first, each from its end until it worked again; not what somebody did to it.
    pub fn timeline(&self, name: &str) -> Vec<Value> {
        let entries = self.0["timeline"].as_array().expect("a timeline");
        let is_its_own = |entry: &&Value| entry["subject"] == name && entry["kind"] != "operator";
        entries.iter().filter(is_its_own).cloned().collect()
    }

    /// How many deliveries the broker link has in progress; `None` where it consumes nothing.
    pub fn deliveries_in_progress(&self) -> Option<u64> {
        let broker = self.all().iter().find(|actor| actor["name"] == "broker")?;
        let consumers = broker["observed"]["consumers"].as_array().filter(|all| !all.is_empty())?;
        Some(consumers.iter().filter_map(|consumer| consumer["inProgress"].as_u64()).sum())
    }

    fn number(&self, name: &str, field: &str) -> u64 {
        let actor = self.actor(name);
        actor[field].as_u64().unwrap_or_else(|| panic!("no {field} in {actor}"))
    }

    fn actor(&self, name: &str) -> &Value {
        let found = self.all().iter().find(|actor| actor["name"] == name);
        found.unwrap_or_else(|| panic!("no actor {name} in {}", self.0))
    }

    fn all(&self) -> &[Value] {
        self.0["actors"].as_array().expect("a list of actors")
    }
}

/// Injects a fault (`panic` or `stop`) into an actor and returns the service's answer.
pub async fn inject(child: &Child, actor: &str, kind: &str) -> Answer {
    child.internal.post(&format!("/actors/{actor}/fault")).json(&json!({ "kind": kind })).await
}

/// Makes an actor do nothing for a minute, or until [`end_stall`], and waits until it has begun.
///
/// # Panics
///
/// When it is still at work after ten seconds.
pub async fn stall(child: &Child, actor: &str) {
    stall_for(child, actor, 60_000).await;
    let what = format!("{} {actor}: it is stalled", child.service());
    eventually(Duration::from_secs(10), &what, async || match Actors::of(child).await.observed(actor) {
        Value::Null => Ok(()),
        observed => Err(observed.to_string()),
    })
    .await;
}

/// Lets a stalled actor go on.
pub async fn end_stall(child: &Child, actor: &str) {
    stall_for(child, actor, 0).await;
}

async fn stall_for(child: &Child, actor: &str, ms: u64) {
    let fault = json!({ "kind": "stall", "ms": ms });
    child.internal.post(&format!("/actors/{actor}/fault")).json(&fault).await.expect(202);
}

/// Waits until a later generation than this works, and returns how long that took.
///
/// # Panics
///
/// When it takes longer than `deadline`.
pub async fn wait_next_generation(child: &Child, actor: &str, after: u64, deadline: Duration) -> Duration {
    let begun = Instant::now();
    let what = format!("{} {actor}: a generation after {after} works", child.service());
    eventually(deadline, &what, async || {
        let actors = Actors::of(child).await;
        if actors.generation(actor) > after && actors.is_running(actor) {
            Ok(())
        } else {
            Err(actors.actor(actor).to_string())
        }
    })
    .await;
    begun.elapsed()
}
