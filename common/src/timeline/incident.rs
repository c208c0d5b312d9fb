use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::cut;

/// Longest subject, in bytes: what an operator or a service wrote may be much longer, and is cut.
pub const LONGEST_SUBJECT: usize = 200;

/// Longest cause, in bytes.
pub const LONGEST_CAUSE: usize = 500;

/// A fault and its recovery, as one entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Incident {
    /// Counts the incidents of a service, from 1, over all its processes.
    pub id: u64,
    /// Where it happened.
    pub service: String,
    /// What kind of thing happened.
    pub kind: IncidentKind,
    /// What it happened to: an actor, an endpoint, the process.
    pub subject: String,
    /// Why, as far as it is known.
    pub cause: String,
    /// When it began.
    pub at: Timestamp,
    /// When all was well again; `None` while it is not.
    pub ended_at: Option<Timestamp>,
    /// How long it lasted, in milliseconds; `None` while it does, and where nobody knows when it began.
    pub duration_ms: Option<u64>,
    /// Which generation of an actor ended.
    pub generation: Option<u64>,
    /// How many attempts it took until it worked again.
    pub attempts: u64,
    /// How many events waited in the outbox when it was over.
    pub waited: Option<u64>,
    /// How many milliseconds it took until those were with the broker.
    pub drained_ms: Option<u64>,
}

/// What kind of thing happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IncidentKind {
    /// An actor ended, and the next generation took its place.
    Actor,
    /// The link to the broker was lost.
    Link,
    /// The broker took no messages.
    Blocked,
    /// A breaker opened.
    Breaker,
    /// An endpoint was taken out of use.
    Ejection,
    /// The process ended without having been asked to, and another one took its place.
    Process,
    /// Somebody did something.
    Operator,
}

/// Names an incident of this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IncidentId(pub(super) u64);

impl Incident {
    /// One that has just begun, at `at`.
    pub(super) fn new(
        id: u64,
        service: &str,
        kind: IncidentKind,
        subject: &str,
        cause: &str,
        at: Timestamp,
    ) -> Self {
        Self {
            id,
            service: service.to_owned(),
            kind,
            subject: cut(subject, LONGEST_SUBJECT),
            cause: cut(cause, LONGEST_CAUSE),
            at,
            ended_at: None,
            duration_ms: None,
            generation: None,
            attempts: 1,
            waited: None,
            drained_ms: None,
        }
    }

    pub(super) fn end(&mut self, now: Timestamp) {
        let lasted = now.as_millisecond() - self.at.as_millisecond();
        self.duration_ms = Some(u64::try_from(lasted).unwrap_or(0));
        self.ended_at = Some(now);
    }
}
