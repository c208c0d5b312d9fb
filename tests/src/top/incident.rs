//! What `/console/timeline` tells: one entry for a fault and its recovery.

use jiff::Timestamp;
use serde::Deserialize;

use crate::plain::Plain;

/// A page of the timeline, newest first.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Timeline {
    pub items: Vec<Incident>,
    /// Services that did not answer: what they know is missing.
    pub silent: Vec<Plain>,
}

/// Something that happened to somebody, and how long it lasted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Incident {
    pub service: Plain,
    pub kind: Plain,
    pub subject: Plain,
    pub cause: Plain,
    pub at: Option<Timestamp>,
    /// None while it lasts.
    pub ended_at: Option<Timestamp>,
    pub duration_ms: Option<u64>,
    /// Restarts until it worked again.
    pub attempts: Option<u64>,
    /// Events that waited in the outbox when it ended.
    pub waited: Option<u64>,
    /// Until they were all with the broker.
    pub drained_ms: Option<u64>,
}
