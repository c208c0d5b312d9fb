use std::fmt;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::Kind;

/// An experiment that runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Experiment {
    /// Counts the experiments of this process, from 1.
    pub number: u64,
    /// What is broken.
    pub kind: Kind,
    /// In words.
    pub title: String,
    /// Since when.
    pub started_at: Timestamp,
    /// How far it is.
    pub phase: Phase,
    /// Orders that were accepted so far.
    pub accepted: usize,
    /// Orders that were refused so far.
    pub refused: usize,
}

/// How far an experiment is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Orders are placed; nothing is broken yet, or anything is to be.
    Loading,
    /// Something is broken.
    Fault,
    /// Everything has still to work again.
    Recovering,
    /// Events have still to arrive.
    Draining,
    /// The stores are asked.
    Auditing,
}

/// What an experiment came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The experiment's.
    pub number: u64,
    /// What was broken.
    pub kind: Kind,
    /// In words.
    pub title: String,
    /// Since when.
    pub started_at: Timestamp,
    /// From the beginning to the end of the audit.
    pub lasted_ms: u64,
    /// How long something was broken on purpose.
    pub fault_ms: u64,
    /// From the fault's end until everything was ready again; `None` where nothing was broken, or it never was.
    pub recovered_ms: Option<u64>,
    /// Orders that were accepted.
    pub accepted: usize,
    /// Orders that were refused: nothing was stored.
    pub refused: usize,
    /// Orders of which no answer came. They were asked for again with the same key, and count as accepted since.
    pub unknown: usize,
    /// Most events that were seen to wait in the outboxes.
    pub waited: u64,
    /// From the fault's end until no more events waited than before it, and from the last order until none did where nothing
    /// was broken.
    pub drained_ms: Option<u64>,
    /// Orders that were accepted and are not there, or not counted; `None` where that could not be found out.
    pub lost: Option<u64>,
    /// Orders that are there, or counted, more than once; `None` where that could not be found out.
    pub doubled: Option<u64>,
    /// In one word.
    pub verdict: Verdict,
    /// What else is to be said.
    pub notes: Vec<String>,
}

/// A receipt in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was asked, and all is well.
    Clear,
    /// Something is lost, doubled or there without reason.
    NotClear,
    /// Something could not be asked, or did not happen.
    Incomplete,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear => "clear",
            Self::NotClear => "not clear",
            Self::Incomplete => "incomplete",
        })
    }
}

impl Serialize for Verdict {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
