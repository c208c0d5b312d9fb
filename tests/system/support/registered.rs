use std::time::Duration;

use warren::harness::{Folder, eventually};
use warren::rabbit::unregistered;

/// What users and orders declare for themselves.
const QUEUES: [&str; 4] =
    ["users.order-created", "users.order-cancelled", "orders.user-created", "events.dead"];

/// Waits until the private node in this folder will find its queues again after a kill, where it is RabbitMQ.
///
/// Killed before, it comes back without them ([`unregistered`]). That is no fault of ours and no story of these tests.
///
/// # Panics
///
/// When they are not written within 30 s.
pub async fn queues_are_registered(folder: &Folder) {
    eventually(Duration::from_secs(30), "RabbitMQ has written the names of its queues", async || {
        unregistered(folder.path(), &QUEUES)
            .map_or(Ok(()), |missing| Err(format!("{missing} is not written")))
    })
    .await;
}
