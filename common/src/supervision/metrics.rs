use super::{ActorStatus, Supervisor};
use crate::telemetry::metrics::{AtScrape, Registry};

/// What can be told of an actor without a question to it.
pub(super) struct Known {
    pub(super) actor: String,
    pub(super) status: ActorStatus,
    /// Messages that it was sent and has not answered.
    pub(super) mailbox: u64,
}

/// Shows every actor of `supervisor` as it is when somebody asks.
pub(super) fn register(service: &str, supervisor: &Supervisor, registry: &mut Registry) {
    let asked = supervisor.clone();
    let states = AtScrape::gauges(move || {
        let state = |Known { actor, status, .. }: Known| {
            ActorStatus::ALL.map(|state| {
                let labels = [("actor", actor.clone()), ("state", state.label().to_owned())];
                (labels, f64::from(u8::from(state == status)))
            })
        };
        asked.known().into_iter().flat_map(state).collect::<Vec<_>>()
    });
    registry.register(
        format!("{service}_actor_state"),
        "1 for the state that an actor is in, 0 for the others",
        states,
    );
    let asked = supervisor.clone();
    let mailboxes = AtScrape::gauges(move || {
        let mailbox = |Known { actor, mailbox, .. }: Known| ([("actor", actor)], mailbox as f64);
        asked.known().into_iter().map(mailbox).collect::<Vec<_>>()
    });
    registry.register(
        format!("{service}_actor_mailbox_messages"),
        "Messages that an actor was sent and has not answered",
        mailboxes,
    );
}
