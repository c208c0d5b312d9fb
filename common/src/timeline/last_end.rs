use jiff::Timestamp;

use super::{Incident, IncidentKind};

/// How the last process of this service ended, as far as anybody knows.
#[derive(Debug)]
pub(super) struct LastEnd {
    cause: String,
    at: Option<Timestamp>,
}

impl LastEnd {
    /// Whoever brings a process back may say how the one before ended (`WARREN_LAST_EXIT`, such as `signal 9`) and when
    /// (`WARREN_LAST_ENDED_AT`).
    pub(super) fn from_env() -> Option<Self> {
        let cause = std::env::var("WARREN_LAST_EXIT").ok().filter(|cause| !cause.is_empty())?;
        let at = std::env::var("WARREN_LAST_ENDED_AT").ok().and_then(|at| at.parse().ok());
        Some(Self { cause, at })
    }

    /// It wrote down its beginning and not its end.
    pub(super) fn unknown(pid: u32) -> Self {
        Self { cause: format!("process {pid} ended without having stopped"), at: None }
    }

    pub(super) fn incident(self, id: u64, service: &str, now: Timestamp) -> Incident {
        let mut incident = Incident {
            id,
            service: service.to_owned(),
            kind: IncidentKind::Process,
            subject: service.to_owned(),
            cause: self.cause,
            at: self.at.unwrap_or(now),
            ended_at: Some(now),
            duration_ms: None,
            generation: None,
            attempts: 1,
            waited: None,
            drained_ms: None,
        };
        if self.at.is_some() {
            incident.end(now);
        }
        incident
    }
}
