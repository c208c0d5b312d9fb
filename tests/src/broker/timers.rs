//! What happens by itself when its time has come: messages and queues expire.

use std::time::Duration;

use tokio::time::Instant;

use super::core::{Broker, unix_ms};
use super::store::QueueId;

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
                queue.offer_again_at,
            ]
        });
        let silences = self.silences.iter().map(|silence| silence.until);
        times.chain(silences).chain([self.refusing.flatten()]).flatten().min()
    }

    /// Does what is due.
    pub(super) fn ring(&mut self) {
        let now = Instant::now();
        let unused: Vec<QueueId> =
            self.queues.values().filter(|queue| queue.is_unused(now)).map(|queue| queue.id).collect();
        unused.into_iter().for_each(|queue| self.delete_queue(queue));
        self.offer_the_stranded(Some(now));
        if self.refusing.flatten().is_some_and(|until| until <= now) {
            self.refusing = None;
        }
        let before = self.silences.len();
        self.silences.retain(|silence| silence.until.is_none_or(|until| until > now));
        if self.silences.len() < before {
            self.heed_silences();
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
