//! Where events are on their way.

use crate::harness::{Actors, System};

/// Where events wait between the services.
const QUEUES: [&str; 6] = [
    "users.order-created",
    "users.order-cancelled",
    "orders.user-created",
    "events.retry.1000ms",
    "events.retry.5000ms",
    "events.retry.25000ms",
];

/// Says where events are on their way: in an outbox, in a queue, in the hands of a consumer. `depth` says how many
/// messages wait in a queue; `None` where it is not there, or not known.
pub async fn under_way(system: &System, depth: impl AsyncFn(&str) -> Option<u32>) -> Vec<String> {
    let mut found = Vec::new();
    for (child, metric) in
        [(&system.users, "users_outbox_pending"), (&system.orders, "orders_outbox_pending")]
    {
        match child.metric(metric).await {
            Some(0.0) => {}
            pending => found.push(format!("{metric} {pending:?}")),
        }
    }
    for queue in QUEUES {
        match depth(queue).await {
            Some(0) => {}
            depth => found.push(format!("{queue} {depth:?}")),
        }
    }
    for child in [&system.users, &system.orders] {
        let in_hand = Actors::asked(child).await.and_then(|actors| actors.deliveries_in_progress());
        if in_hand != Some(0) {
            found.push(format!("in the hands of {} {in_hand:?}", child.service()));
        }
    }
    found
}
