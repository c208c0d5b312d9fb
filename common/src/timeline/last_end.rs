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

/// A process that wrote down its beginning and not its end.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unstopped {
    pub pid: u32,
    pub started: Timestamp,
}

impl LastEnd {
    /// Whoever brings a process back may say how the one before ended ([`LAST_EXIT`]) and when ([`LAST_ENDED_AT`]). Where
    /// nobody says when, it is when it was last seen `alive`.
    pub(super) fn find(unstopped: Option<Unstopped>, alive: Option<Timestamp>) -> Option<Self> {
        let cause = std::env::var(LAST_EXIT).ok().filter(|cause| !cause.is_empty());
        let at = std::env::var(LAST_ENDED_AT).ok().and_then(|at| at.parse().ok());
        Self::from_all(cause, at, unstopped, alive)
    }

    fn from_all(
        cause: Option<String>,
        at: Option<Timestamp>,
        unstopped: Option<Unstopped>,
        alive: Option<Timestamp>,
    ) -> Option<Self> {
        let cause = cause.or_else(|| {
            unstopped.map(|process| format!("process {} ended without having stopped", process.pid))
        })?;
        // An older sign is another process's.
        let alive = alive.filter(|alive| unstopped.is_none_or(|process| *alive >= process.started));
        Some(Self { cause, at: at.or(alive) })
    }

    pub(super) fn incident(self, id: u64, service: &str, now: Timestamp) -> Incident {
        // Where the clock went backwards meanwhile, nobody knows how long it took.
        let at = self.at.filter(|at| *at <= now);
        let begun = at.unwrap_or(now);
        let mut incident = Incident::new(id, service, IncidentKind::Process, service, &self.cause, begun);
        match at {
            Some(_) => incident.end(now),
            None => incident.ended_at = Some(now),
        }
        incident
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn who_saw_it_end_knows_better_than_its_sign_of_life() {
        let unstopped = Some(Unstopped { pid: 7, started: time(10) });
        let told = |cause: Option<&str>, at: Option<i64>| {
            LastEnd::from_all(cause.map(str::to_owned), at.map(time), unstopped, Some(time(20)))
                .expect("it ended")
                .incident(1, "shop", time(30))
        };

        let by_both = told(Some("signal 9"), Some(22));
        let by_how = told(Some("signal 9"), None);
        let by_nobody = told(None, None);

        let said = [&by_both, &by_how, &by_nobody].map(|end| (end.cause.as_str(), end.duration_ms));
        let nobody = "process 7 ended without having stopped";
        assert_eq!(said, [("signal 9", Some(8000)), ("signal 9", Some(10_000)), (nobody, Some(10_000))]);
    }

    #[test]
    fn of_a_process_that_stopped_only_others_can_say_that_it_failed() {
        let alive = Some(time(20));

        assert!(LastEnd::from_all(None, None, None, alive).is_none());
        let failed = LastEnd::from_all(Some("exit code 70".to_owned()), None, None, alive);
        assert_eq!(failed.and_then(|end| end.at), alive);
    }
}
