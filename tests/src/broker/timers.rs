//! What happens by itself when its time has come: messages and queues expire.

use std::time::Duration;

use tokio::time::Instant;

use super::core::{Broker, unix_ms};
use super::store::QueueId;

/// How often dead letters that nobody took are offered again.
const AGAIN: Duration = Duration::from_secs(1);

impl Broker {
    /// When the next timer rings.
    pub(super) fn next_timer(&self) -> Option<Instant> {
        let (now, now_ms) = (Instant::now(), unix_ms());
        let of_head = |at_ms: u64| now + Duration::from_millis(at_ms.saturating_sub(now_ms));
        let times = self.queues.values().flat_map(|queue| {
            [
                queue.next_expiry().map(of_head),
                queue.unused_at(),
                queue.shuffle.map(|(_, until)| until),
                (!queue.stranded.is_empty()).then(|| now + AGAIN),
            ]
        });
        let orders = [self.refusing.flatten(), self.silencing.as_ref().and_then(|(_, until)| *until)];
        times.chain(orders).flatten().min()
    }

    /// Does what is due.
    pub(super) fn ring(&mut self) {
        let now = Instant::now();
        let unused: Vec<QueueId> =
            self.queues.values().filter(|queue| queue.is_unused(now)).map(|queue| queue.id).collect();
        unused.into_iter().for_each(|queue| self.delete_queue(queue));
        self.bury_the_stranded();
        if self.refusing.flatten().is_some_and(|until| until <= now) {
            self.refusing = None;
        }
        if self.silencing.as_ref().is_some_and(|(_, until)| until.is_some_and(|until| until <= now)) {
            self.speak();
        }

        let now_ms = unix_ms();
        let due = |queue: &super::queue::Queue| {
            queue.next_expiry().is_some_and(|at| at <= now_ms)
                || queue.shuffle.is_some_and(|(_, until)| until <= now)
        };
        let due: Vec<QueueId> =
            self.queues.values().filter(|queue| due(queue)).map(|queue| queue.id).collect();
        due.into_iter().for_each(|queue| self.touch(queue));
        self.settle();
    }
}
