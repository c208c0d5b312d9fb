//! What `/console/state` tells: all processes with their actors, the broker and the links.
//!
//! Whatever is missing is empty and whatever is unknown is ignored, so that an older or newer gateway is shown as far as it
//! is understood.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;

use super::words::between;

use crate::plain::Plain;

/// How long the gateway asks around at most before it tells of what it has heard.
const A_LOOK: Duration = Duration::from_secs(1);

/// The whole system at one moment.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Snapshot {
    pub at: Option<Timestamp>,
    pub gateway: Process,
    pub services: Vec<Service>,
    pub broker: Broker,
    pub links: Vec<Link>,
    pub dead_letters: Option<DeadLetters>,
    /// Whether things may be broken on purpose.
    pub faults: bool,
    pub experiment: Option<Experiment>,
}

/// One service and what runs of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Service {
    pub name: Plain,
    pub processes: Vec<Process>,
}

/// One process, as it is, or as it was when it was last heard.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Process {
    pub service: Option<Plain>,
    pub address: Option<Plain>,
    pub state: State,
    pub reason: Option<Plain>,
    /// When it came into this state.
    pub since: Option<Timestamp>,
    /// When it last answered, where it does not now.
    pub heard_at: Option<Timestamp>,
    pub pid: Option<u32>,
    pub started_at: Option<Timestamp>,
    /// Who starts it again when it dies.
    pub keeper: Option<Plain>,
    pub actors: Option<Vec<Actor>>,
}

/// One actor, as its guardian sees it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Actor {
    pub name: Plain,
    pub status: State,
    pub generation: u64,
    pub restarts: u64,
    /// Messages that it has not answered yet.
    pub mailbox: Option<u64>,
    pub last_cause: Option<Cause>,
    pub next_attempt_at: Option<Timestamp>,
    pub observed: Option<Observed>,
}

/// Why an actor ended.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Cause {
    kind: Plain,
    message: Option<Plain>,
}

/// Of all that actors say of themselves, what the picture has room for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Observed {
    /// Events that wait until they are with the broker.
    pub outbox_pending: Option<u64>,
}

/// The broker.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Broker {
    pub state: State,
    pub name: Option<Plain>,
}

/// Events that were given up on and wait for somebody.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct DeadLetters {
    pub waiting: u64,
    pub counted_at: Option<Timestamp>,
}

/// What flows from one to another.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Link {
    pub from: Plain,
    pub to: Plain,
    pub state: State,
    /// So many a second.
    pub rate: Option<f64>,
    pub detail: Option<Plain>,
}

/// Something that is broken on purpose, now.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Experiment {
    pub number: u64,
    pub title: Plain,
    pub phase: Plain,
    pub accepted: u64,
    pub refused: u64,
}

/// What came of it.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Receipt {
    pub number: u64,
    pub title: Plain,
    pub verdict: Plain,
    pub recovered_ms: Option<u64>,
    pub accepted: u64,
    pub refused: u64,
    pub lost: Option<u64>,
    pub doubled: Option<u64>,
}

/// A state in the word of who has it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub(super) struct State(Plain);

/// How a state is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Odd,
    Bad,
    Unknown,
}

impl Snapshot {
    /// The gateway's time when it told this.
    pub fn now(&self) -> Timestamp {
        self.at.unwrap_or_else(Timestamp::now)
    }

    /// The same without the beginnings that are none, because nobody watched before this look.
    pub fn since_before(mut self, look: Timestamp) -> Self {
        let services = self.services.iter_mut().flat_map(|service| &mut service.processes);
        for process in services.chain([&mut self.gateway]) {
            process.since = process.since.filter(|since| between(*since, look) >= A_LOOK);
        }
        self
    }

    /// Every process with the name of its service, the gateway first.
    pub fn processes(&self) -> impl Iterator<Item = (&str, &Process)> {
        let gateway = (self.gateway.service.as_deref().unwrap_or("gateway"), &self.gateway);
        let services = self
            .services
            .iter()
            .flat_map(|service| service.processes.iter().map(|process| (&*service.name, process)));
        std::iter::once(gateway).chain(services)
    }
}

impl State {
    /// The word itself.
    pub fn word(&self) -> &str {
        &self.0
    }

    /// How it is meant.
    pub fn tone(&self) -> Tone {
        match &*self.0 {
            "ready" | "up" | "running" | "connected" => Tone::Good,
            "degraded" | "blocked" | "starting" | "restarting" => Tone::Odd,
            "unready" | "silent" | "down" | "away" | "stopped" => Tone::Bad,
            _ => Tone::Unknown,
        }
    }
}

impl Default for State {
    fn default() -> Self {
        Self(Plain::new("unknown"))
    }
}

impl Cause {
    /// In words, such as `lost: connection reset`.
    pub fn text(&self) -> String {
        match &self.message {
            Some(message) => format!("{}: {message}", self.kind),
            None => self.kind.to_string(),
        }
    }
}

impl<'de> Deserialize<'de> for Observed {
    /// Actors may say whatever they like of themselves.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let said = serde_json::Value::deserialize(deserializer)?;
        Ok(Self { outbox_pending: said["outboxPending"].as_u64() })
    }
}
