//! What of an endpoint is written into the timeline: that its breaker opened, and that the health check found it not ready.
//!
//! These are two kinds, and their names mislead whoever comes from the metrics. [`IncidentKind::Breaker`] is what
//! `gateway_upstream_ejections_total`, the state `ejected` of `gateway_upstream_endpoints` and the log's
//! `event=endpoint_ejected` tell of: requests failed, and none is sent for a while. [`IncidentKind::Ejection`] is the
//! health check's verdict, the state `unready` and `event=upstream_health`: it is asked only where no other one is ready.

use std::sync::{Mutex, MutexGuard, PoisonError};

use common::timeline::{IncidentId, IncidentKind, Timeline};

/// The incidents of one endpoint: its breaker may be open, and it may be not ready, each at most once at a time. Those that are
/// open when the endpoint is gone from the settings are over then.
#[derive(Debug)]
pub struct Incidents {
    timeline: Timeline,
    subject: String,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    breaker: Option<IncidentId>,
    ejection: Option<IncidentId>,
}

impl Incidents {
    /// None yet; `subject` says which endpoint.
    pub fn new(timeline: Timeline, subject: String) -> Self {
        Self { timeline, subject, open: Mutex::default() }
    }

    /// Notes that the breaker opened.
    pub fn breaker_opened(&self, why: &str) {
        let mut open = self.open();
        match open.breaker {
            // Another worker closed it, and has not come to say so.
            Some(id) => self.timeline.again(id),
            None => open.breaker = Some(self.timeline.begin(IncidentKind::Breaker, &self.subject, why)),
        }
    }

    /// Notes that the breaker closed.
    pub fn breaker_closed(&self) {
        self.end(self.open().breaker.take());
    }

    /// Notes that the health check found an endpoint not ready that was well.
    pub fn went_away(&self, why: &str) {
        let mut open = self.open();
        if open.ejection.is_none() {
            open.ejection = Some(self.timeline.begin(IncidentKind::Ejection, &self.subject, why));
        }
    }

    /// Notes that the health check found it well again.
    pub fn came_back(&self) {
        self.end(self.open().ejection.take());
    }

    fn end(&self, incident: Option<IncidentId>) {
        if let Some(id) = incident {
            self.timeline.end(id);
        }
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        // A panic while the lock is held leaves whole values behind.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Incidents {
    fn drop(&mut self) {
        self.breaker_closed();
        self.came_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incidents() -> (Incidents, Timeline) {
        let timeline = Timeline::open("gateway", None);
        (Incidents::new(timeline.clone(), "users http://127.0.0.1:3001".to_owned()), timeline)
    }

    #[test]
    fn a_fault_and_its_end_are_one_entry() {
        let (incidents, timeline) = incidents();

        incidents.went_away("cannot connect");
        incidents.went_away("no answer in time");
        incidents.breaker_opened("cannot connect");
        incidents.breaker_closed();
        incidents.came_back();
        incidents.came_back();

        let page = timeline.page(10, None);
        let shown: Vec<_> =
            page.iter().map(|it| (it.kind, it.cause.as_str(), it.ended_at.is_some())).collect();
        let expected =
            [IncidentKind::Breaker, IncidentKind::Ejection].map(|kind| (kind, "cannot connect", true));
        assert_eq!(shown, expected);
        assert_eq!(page[0].subject, "users http://127.0.0.1:3001");
    }

    #[test]
    fn nothing_goes_on_at_an_endpoint_that_is_gone() {
        let (incidents, timeline) = incidents();
        incidents.breaker_opened("answers 500");

        drop(incidents);

        assert!(timeline.page(1, None)[0].ended_at.is_some());
    }
}
