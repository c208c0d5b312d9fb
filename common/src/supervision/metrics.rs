use super::{ActorStatus, Supervisor};
use crate::telemetry::metrics::{AtScrape, Registry};

/// Shows the state of every actor of `supervisor`: 1 for the state that it is in, 0 for the others.
pub(super) fn register(supervisor: &Supervisor, registry: &mut Registry) {
    let service = supervisor.service();
    let asked = supervisor.clone();
    let states = AtScrape::gauges(move || {
        let mut states = Vec::new();
        for (actor, status) in asked.statuses() {
            for state in ActorStatus::ALL {
                let labels = [("actor", actor.clone()), ("state", state.label().to_owned())];
                states.push((labels, f64::from(u8::from(state == status))));
            }
        }
        states
    });
    registry.register(
        format!("{service}_actor_state"),
        "1 for the state that an actor is in, 0 for the others",
        states,
    );
}
