//! What becomes of dead letters: they go to the exchange that their queue names, or nowhere.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use amq_protocol::types::AMQPValue;
use tokio::time::Instant;

use super::Message;
use super::core::Broker;
use super::death::{self, Reason};
use super::queue::{Content, Entry, Queue, Size};
use super::store::{Change, QueueId};

/// How often dead letters that nobody took are offered again.
const AGAIN: Duration = Duration::from_secs(1);

/// So many of them, that a long line of them stops nobody else.
const AT_ONCE: usize = 1000;

impl Broker {
    /// Ends a message's time in a queue: it goes to the dead-letter exchange, or nowhere. Both happen in one commit.
    pub(super) fn bury(&mut self, id: QueueId, entry: Entry, reason: Reason) {
        let Some(queue) = self.queues.get(&id) else { return };
        let dead_letter = queue.options.dead_letter.clone();
        let must_arrive = is_at_least_once(queue);
        let (name, vhost) = (queue.name.clone(), queue.vhost.clone());
        if let Some(to) = dead_letter {
            let loaded = || self.journal.load(id, entry.position, 1, 0).pop().map(|(_, message)| message);
            let Some(message) = entry.content.message().cloned().or_else(loaded) else { return };
            let letter = death::dead_letter(&message, &name, reason, &to, SystemTime::now());
            let targets = self.dead_letter_targets(&vhost, &letter, reason);
            if must_arrive && !self.can_arrive(&letter, &targets) {
                self.strand(id, entry, reason);
                return;
            }
            self.enqueue(Arc::new(letter), &targets);
        }
        if entry.content.is_stored() {
            self.journal.add(Change::Remove { queue: id, position: entry.position });
        }
    }

    /// Buries all that died so far.
    pub(super) fn bury_all(&mut self) {
        while let Some((queue, entry, reason)) = self.burials.pop_front() {
            self.bury(queue, entry, reason);
        }
    }

    /// Whether there are queues for a dead letter, and all take it.
    fn can_arrive(&self, letter: &Message, targets: &[QueueId]) -> bool {
        let size = Size::of(letter).body;
        let refuses = |id: &QueueId| self.queues.get(id).is_some_and(|queue| queue.refuses(size));
        !targets.is_empty() && !targets.iter().any(refuses)
    }

    /// Keeps a dead letter that nobody takes, to be offered again.
    ///
    /// Which death it died is not on disk: after a restart it waits in its queue like any other.
    fn strand(&mut self, id: QueueId, mut entry: Entry, reason: Reason) {
        let Some(queue) = self.queues.get_mut(&id) else { return };
        if matches!(entry.content, Content::Cached(_)) {
            entry.content = Content::OnDisk;
        }
        queue.stranded.push((entry, reason));
        queue.offer_again_at.get_or_insert_with(|| Instant::now() + AGAIN);
        self.timers.notify_one();
    }

    /// The queues that a dead letter goes to; none that it would only go round and round through.
    fn dead_letter_targets(&self, vhost: &str, letter: &Message, reason: Reason) -> Vec<QueueId> {
        let Some(vhost) = self.vhosts.get(vhost) else { return Vec::new() };
        let mut targets = Vec::new();
        if letter.exchange().is_empty() {
            targets.extend(vhost.queues.get(letter.routing_key()));
        } else {
            vhost.exchanges.route_dead_letter(letter.exchange(), letter.routing_key(), &mut targets);
        }
        targets.retain(|id| {
            self.queues.get(id).is_some_and(|queue| !death::is_cycle(letter, &queue.name, reason))
        });
        targets
    }

    /// Tries again to bring dead letters to exchanges that led nowhere: those whose time has come, or all.
    pub(super) fn offer_the_stranded(&mut self, now: Option<Instant>) {
        for (id, queue) in &mut self.queues {
            if queue.offer_again_at.is_none_or(|at| now.is_some_and(|now| now < at)) {
                continue;
            }
            let offered =
                if now.is_some() { queue.stranded.len().min(AT_ONCE) } else { queue.stranded.len() };
            let offered = queue.stranded.drain(..offered);
            self.burials.extend(offered.map(|(entry, reason)| (*id, entry, reason)));
            queue.offer_again_at = (!queue.stranded.is_empty()).then(|| Instant::now() + AGAIN);
        }
    }
}

/// Whether dead letters wait in their queue until the other one can take them.
fn is_at_least_once(queue: &Queue) -> bool {
    let strategy = queue.options.arguments.inner().get("x-dead-letter-strategy");
    queue.is_quorum()
        && matches!(strategy, Some(AMQPValue::LongString(text)) if text.as_bytes() == b"at-least-once")
}
