use actix::Message;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Exit;

/// Asks an actor for its state; every supervised actor answers.
#[derive(Clone, Copy, Debug)]
pub struct Observe;

impl Observe {
    /// Turns an actor's `<Actor>State` into the answer.
    pub fn answer<A: actix::Actor>(state: &impl Serialize) -> actix::MessageResult<Self> {
        let answer = serde_json::to_value(state).unwrap_or_else(|error| Value::String(error.to_string()));
        actix::MessageResult(answer)
    }
}

impl Message for Observe {
    type Result = Value;
}

/// What a guardian knows of its actor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ActorStatus {
    /// Started, not yet healthy.
    Starting,
    /// Healthy.
    Running,
    /// Ended; the next generation is due.
    Restarting,
    /// Ended for good, because the service stops or its supervision escalated.
    Stopped,
}

/// One actor, as `/actors` shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ActorReport {
    /// The actor's name, unique in its process.
    pub name: String,
    /// What its guardian knows.
    pub status: ActorStatus,
    /// The living generation, or the last one.
    pub generation: u64,
    /// How often it was restarted.
    pub restarts: u64,
    /// Messages that were sent to it and are not answered yet.
    pub mailbox: u64,
    /// Why the last generation ended.
    pub last_cause: Option<Exit>,
    /// When the next generation is built, while it is restarting.
    pub next_attempt_at: Option<Timestamp>,
    /// Its own answer to [`Observe`]; `None` where it doesn't answer in time.
    pub observed: Option<Value>,
}
