use jiff::Timestamp;

use super::{Incident, IncidentKind};

/// Where whoever brings a process back says how the one before ended, such as `signal 9`.
pub const LAST_EXIT: &str = "WARREN_LAST_EXIT";

/// Where it says when.
pub const LAST_ENDED_AT: &str = "WARREN_LAST_ENDED_AT";

/// How the last process of this service ended, as far as anybody knows.
#[derive(Debug)]
pub(super) struct LastEnd {
    cause: String,
    at: Option<Timestamp>,
}

impl LastEnd {
    /// Whoever brings a process back may say how the one before ended ([`LAST_EXIT`]) and when ([`LAST_ENDED_AT`]).
    pub(super) fn from_env() -> Option<Self> {
        let cause = std::env::var(LAST_EXIT).ok().filter(|cause| !cause.is_empty())?;
        let at = std::env::var(LAST_ENDED_AT).ok().and_then(|at| at.parse().ok());
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
