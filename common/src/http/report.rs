use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

use super::{Totals, keeper::keeper};
use crate::supervision::{ActorReport, Supervisor};

/// A whole process, as `/actors` shows it.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProcessReport {
    service: &'static str,
    pid: u32,
    started_at: Timestamp,
    /// Who brings the process back when it dies, where somebody says so (`WARREN_KEEPER`).
    keeper: Option<String>,
    /// Whether faults may be injected.
    faults: bool,
    /// Every supervised actor, in the order in which they were started.
    actors: Vec<ActorReport>,
    /// Requests that were answered, but for [`NoTraffic`](super::NoTraffic), and those of them with a status from 500.
    counts: Totals,
    /// The number of the newest incident in its timeline.
    last_incident: u64,
}

impl ProcessReport {
    /// Asks every actor, for somebody who waits no longer than `longest`, and adds what is known of the process.
    pub async fn of(
        service: &'static str,
        supervisor: &Supervisor,
        counts: Totals,
        faults: bool,
        longest: Duration,
    ) -> Self {
        let timeline = supervisor.timeline();
        Self {
            service,
            pid: std::process::id(),
            started_at: timeline.started(),
            keeper: keeper(),
            faults,
            actors: supervisor.report_within(longest).await,
            counts,
            last_incident: timeline.last(),
        }
    }
}
