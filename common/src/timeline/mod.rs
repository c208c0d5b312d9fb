//! What went wrong and how it healed: restarts, lost links, open breakers, each an [`Incident`] from its beginning to its
//! end, kept over the end of the process.
//!
//! It is a [journal](crate::journal) rather than a table of the store, because it must be written just then when the
//! store is what has failed. The last thousand incidents are in memory too, where they are changed and read.
//!
//! Beside it the process gives a sign of life every second, so that the next one knows when this one ended even where it
//! was killed and nobody else saw it.

mod incident;
mod last_end;

pub use incident::{Incident, IncidentId, IncidentKind, LONGEST_CAUSE, LONGEST_SUBJECT};
pub use last_end::{LAST_ENDED_AT, LAST_EXIT};

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::journal::{Bounds, Journal};
use last_end::{LastEnd, Unstopped};

/// How many incidents are remembered.
const REMEMBERED: usize = 1000;

/// Room for several times as many on disk, each written a few times.
const BOUNDS: Bounds = Bounds { segment: 1024 * 1024, segments: 3, reserve: 0 };

/// How long the last lines may take at the end of the process.
const FLUSH: Duration = Duration::from_millis(500);

/// The incidents of one service. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Timeline(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    service: &'static str,
    started: Timestamp,
    incidents: Mutex<BTreeMap<u64, Incident>>,
    /// Whether an incident is over after which the outbox is to be drained.
    undrained: AtomicBool,
    journal: Journal<Line>,
}

/// What is written down.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Line {
    /// An incident as it is now; a later line about it takes the place of an earlier one.
    Incident(Incident),
    /// A process began.
    Started { pid: u32, at: Timestamp },
    /// It ended in order.
    Stopped { pid: u32, at: Timestamp },
}

impl Timeline {
    /// Opens the timeline of `service` below `folder`; without a folder it is kept in memory. Where the last process did
    /// not end in order, that is the first incident of this one.
    pub fn open(service: &'static str, folder: Option<&Path>) -> Self {
        let folder = folder.map(|folder| folder.join(format!("{service}.timeline")));
        let started = Timestamp::now();
        let (journal, alive) = Journal::<Line>::open_alive("timeline", folder.as_deref(), BOUNDS);
        let alive = alive.and_then(|alive| Timestamp::try_from(alive).ok());
        let (mut incidents, unstopped) = recall(&journal);
        for incident in incidents.values_mut().filter(|incident| incident.ended_at.is_none()) {
            // Whatever goes on is an incident of this process.
            incident.cause.push_str("; the process ended first");
            incident.end(started);
            journal.record(vec![Line::Incident(incident.clone())]);
        }
        let undrained = AtomicBool::new(false);
        let incidents = Mutex::new(incidents);
        let timeline = Self(Arc::new(Shared { service, started, incidents, undrained, journal }));
        if let Some(end) = LastEnd::find(unstopped, alive) {
            timeline.add(|id| end.incident(id, service, started));
        }
        timeline.0.journal.record(vec![Line::Started { pid: std::process::id(), at: started }]);
        timeline
    }

    /// Begins an incident.
    pub fn begin(&self, kind: IncidentKind, subject: &str, cause: &str) -> IncidentId {
        self.begin_at_generation(kind, subject, cause, None)
    }

    /// Begins an incident that ended this generation of an actor.
    pub fn begin_at_generation(
        &self,
        kind: IncidentKind,
        subject: &str,
        cause: &str,
        generation: Option<u64>,
    ) -> IncidentId {
        let (service, now) = (self.0.service, Timestamp::now());
        self.add(|id| Incident { generation, ..Incident::new(id, service, kind, subject, cause, now) })
    }

    /// Counts another attempt that failed.
    pub fn again(&self, id: IncidentId) {
        // Written down when it ends: an outage of an hour is one line and not a thousand.
        let mut incidents = self.incidents();
        if let Some(incident) = incidents.get_mut(&id.0) {
            incident.attempts += 1;
        }
    }

    /// Ends an incident: all is well again, now.
    pub fn end(&self, id: IncidentId) {
        self.change(id, |incident| {
            if incident.ended_at.is_none() {
                incident.end(Timestamp::now());
            }
        });
        let kind = self.incidents().get(&id.0).map(|incident| incident.kind);
        if matches!(kind, Some(IncidentKind::Link | IncidentKind::Blocked)) {
            self.0.undrained.store(true, Ordering::Release);
        }
    }

    /// Notes something that takes no time.
    pub fn note(&self, kind: IncidentKind, subject: &str, cause: &str) {
        let id = self.begin(kind, subject, cause);
        self.change(id, |incident| {
            incident.attempts = 0;
            incident.end(incident.at);
        });
    }

    /// Notes what somebody else saw begin and end, and returns the entry; what is told twice is one.
    pub fn tell(
        &self,
        kind: IncidentKind,
        subject: &str,
        cause: &str,
        at: Timestamp,
        ended_at: Timestamp,
    ) -> Incident {
        let mut told = Incident::new(0, self.0.service, kind, subject, cause, at);
        told.end(ended_at);
        let is_told = |it: &&Incident| Incident { id: 0, ..(*it).clone() } == told;
        if let Some(known) = self.incidents().values().rev().find(is_told) {
            return known.clone();
        }
        let IncidentId(id) = self.add(|id| Incident { id, ..told.clone() });
        Incident { id, ..told }
    }

    /// Returns the incident, just over, after which the outbox is to be drained; each once.
    pub fn take_undrained(&self) -> Option<IncidentId> {
        if !self.0.undrained.swap(false, Ordering::Acquire) {
            return None;
        }
        let incidents = self.incidents();
        let over = |incident: &&Incident| {
            matches!(incident.kind, IncidentKind::Link | IncidentKind::Blocked) && incident.ended_at.is_some()
        };
        incidents.values().rev().find(over).map(|incident| IncidentId(incident.id))
    }

    /// Notes how many events had waited when the incident was over, and how long they took.
    pub fn drained(&self, id: IncidentId, waited: u64, took: Duration) {
        self.change(id, |incident| {
            incident.waited = Some(waited);
            incident.drained_ms = Some(u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
        });
    }

    /// Returns up to `limit` incidents, the newest first, older than the one named `before`.
    pub fn page(&self, limit: usize, before: Option<u64>) -> Vec<Incident> {
        let incidents = self.incidents();
        let end = before.unwrap_or(u64::MAX);
        incidents.range(..end).rev().take(limit).map(|(_, incident)| incident.clone()).collect()
    }

    /// The number of the newest incident; 0 where there is none.
    pub fn last(&self) -> u64 {
        self.incidents().last_key_value().map_or(0, |(id, _)| *id)
    }

    /// When this process began.
    pub fn started(&self) -> Timestamp {
        self.0.started
    }

    /// Says that the process ends in order.
    pub fn stopped(&self) {
        self.0.journal.record(vec![Line::Stopped { pid: std::process::id(), at: Timestamp::now() }]);
        self.0.journal.flush(FLUSH);
    }

    fn add(&self, incident: impl FnOnce(u64) -> Incident) -> IncidentId {
        let mut incidents = self.incidents();
        let id = incidents.last_key_value().map_or(0, |(id, _)| *id) + 1;
        let incident = incident(id);
        self.0.journal.record(vec![Line::Incident(incident.clone())]);
        incidents.insert(id, incident);
        if incidents.len() > REMEMBERED {
            incidents.pop_first();
        }
        IncidentId(id)
    }

    fn change(&self, id: IncidentId, change: impl FnOnce(&mut Incident)) {
        let mut incidents = self.incidents();
        if let Some(incident) = incidents.get_mut(&id.0) {
            change(incident);
            self.0.journal.record(vec![Line::Incident(incident.clone())]);
        }
    }

    fn incidents(&self) -> MutexGuard<'_, BTreeMap<u64, Incident>> {
        // A panic while the lock is held leaves whole values behind.
        self.0.incidents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads what former processes wrote, and which of them did not end in order.
fn recall(journal: &Journal<Line>) -> (BTreeMap<u64, Incident>, Option<Unstopped>) {
    let mut segments = Vec::new();
    let mut lines = journal.lines();
    loop {
        match lines.next_segment() {
            Ok(Some(segment)) => segments.push(segment),
            Ok(None) => break,
            Err(error) => {
                log::warn!("event=timeline_not_read error={:?}", error.to_string());
                break;
            }
        }
    }
    let (mut incidents, mut unstopped) = (BTreeMap::new(), None);
    for line in segments.iter().rev().flat_map(|segment| segment.split(|byte| *byte == b'\n')) {
        // What cannot be read was cut off by the end of a process.
        match serde_json::from_slice(line) {
            Ok(Line::Incident(incident)) => drop(incidents.insert(incident.id, incident)),
            Ok(Line::Started { pid, at }) => unstopped = Some(Unstopped { pid, started: at }),
            Ok(Line::Stopped { .. }) => unstopped = None,
            Err(_) => {}
        }
        if incidents.len() > REMEMBERED {
            incidents.pop_first();
        }
    }
    (incidents, unstopped)
}

#[cfg(test)]
mod tests;
