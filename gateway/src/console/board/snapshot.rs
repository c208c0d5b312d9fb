//! The picture, as viewers get it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

use super::processes::whole_millis;
use crate::console::{Waiting, experiment::Experiment};

/// A picture and its time.
#[derive(Clone, Debug, Serialize)]
pub struct Snapshot<'a> {
    /// When it was true, to the millisecond.
    pub at: Timestamp,
    /// What is to be seen.
    #[serde(flatten)]
    pub picture: &'a Picture,
}

/// Everything that is to be seen at one time.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// The gateway itself.
    pub gateway: Process,
    /// The services behind, in the order of the settings.
    pub services: Vec<Service>,
    /// What the services say of the broker.
    pub broker: Broker,
    /// Who talks to whom.
    pub links: Vec<Link>,
    /// How many dead letters wait; null until they were counted.
    pub dead_letters: Option<DeadLetters>,
    /// The number of the last incident, by service.
    pub incidents: BTreeMap<String, u64>,
    /// Whether faults may be injected.
    pub faults: bool,
    /// The experiment that runs; null where none does.
    pub experiment: Option<Experiment>,
}

/// Events that were given up on.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeadLetters {
    /// So many.
    pub waiting: usize,
    /// When they were counted. Long ago, where the broker is away.
    pub counted_at: Aside<Timestamp>,
}

impl From<Waiting> for DeadLetters {
    fn from(Waiting { count, counted_at }: Waiting) -> Self {
        Self { waiting: count, counted_at: Aside(whole_millis(counted_at)) }
    }
}

/// One service.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Service {
    /// Its name in the settings.
    pub name: String,
    /// One for each of its endpoints.
    pub processes: Vec<Process>,
}

/// One process, and what it says of itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Which service.
    pub service: String,
    /// Where it listens.
    pub address: String,
    /// How it is.
    pub state: ProcessState,
    /// What is wrong.
    pub reason: Option<String>,
    /// Since when it is so, as far as anybody watched.
    pub since: Timestamp,
    /// When it was heard last, where it is silent.
    pub heard_at: Option<Timestamp>,
    /// What of its report changes all the time.
    #[serde(skip_serializing_if = "Aside::is_null")]
    pub counts: Aside<Value>,
    /// The rest of its report, or of the last one.
    #[serde(flatten)]
    pub report: Map<String, Value>,
}

/// How a process is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ProcessState {
    /// All is well.
    Ready,
    /// It serves, but something is missing.
    Degraded,
    /// It is there, and does not serve.
    Unready,
    /// It does not answer.
    Silent,
}

/// What does not make two pictures different.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(transparent)]
pub struct Aside<T>(pub T);

impl<T> PartialEq for Aside<T> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Aside<Value> {
    fn is_null(&self) -> bool {
        self.0.is_null()
    }
}

/// The broker, as the services see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Broker {
    /// In one word.
    pub state: BrokerState,
    /// Which one it is, once it has told anybody.
    pub name: Option<String>,
}

/// How the broker is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BrokerState {
    /// Some service is connected to it.
    Connected,
    /// It takes no messages from some service.
    Blocked,
    /// No service is connected to it.
    Away,
    /// There is nobody to tell.
    Unknown,
}

/// One who talks to another one.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Link {
    /// Who begins.
    pub from: String,
    /// Who is talked to.
    pub to: String,
    /// Whether it works.
    pub state: LinkState,
    /// How often in a second.
    pub rate: f64,
    /// What is wrong.
    pub detail: Option<String>,
}

/// Whether a link works. The last is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkState {
    /// It does.
    Up,
    /// In part, or slowly.
    Degraded,
    /// It does not.
    Down,
}
