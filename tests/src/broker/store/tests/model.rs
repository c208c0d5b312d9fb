use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::super::tables::Place;
use super::super::{Change, Position, QueueId, Recovered, RecoveredMessage, Store};
use crate::broker::Message;

/// What the store should hold, told the changes one by one.
#[derive(Clone, Debug, Default)]
pub(super) struct Model {
    definitions: BTreeMap<String, Vec<u8>>,
    messages: BTreeMap<Place, (Option<u64>, Arc<Message>)>,
    attempts: BTreeMap<Place, u32>,
    delivered: BTreeMap<QueueId, Position>,
}

impl Model {
    pub(super) fn apply(&mut self, batch: &[Change]) {
        for change in batch.iter().cloned() {
            match change {
                Change::Define { key, value } => drop(self.definitions.insert(key, value)),
                Change::Undefine { key } => drop(self.definitions.remove(&key)),
                Change::Insert { queue, position, expires_at_ms, message } => {
                    self.messages.insert((queue, position), (expires_at_ms, message));
                }
                Change::Remove { queue, position } => {
                    self.messages.remove(&(queue, position));
                    self.attempts.remove(&(queue, position));
                }
                Change::Attempts { queue, position, count } => {
                    self.attempts.insert((queue, position), count);
                }
                Change::DeliveredUpTo { queue, position } => drop(self.delivered.insert(queue, position)),
                Change::Forget { queue } => {
                    self.messages.retain(|(of, _), _| *of != queue);
                    self.attempts.retain(|(of, _), _| *of != queue);
                    self.delivered.remove(&queue);
                }
            }
        }
    }

    /// What the store should find when it is opened.
    pub(super) fn recovered(&self) -> Recovered {
        let definitions = self.definitions.clone().into_iter().collect();
        let mut recovered = Recovered { definitions, ..Recovered::default() };
        for (&(queue, position), (expires_at_ms, message)) in &self.messages {
            recovered.queues.entry(queue).or_default().messages.push(RecoveredMessage {
                position,
                size: message.size().try_into().expect("it is small"),
                body_size: message.body().len().try_into().expect("it is small"),
                attempts: self.attempts.get(&(queue, position)).copied().unwrap_or(0),
                expires_at_ms: *expires_at_ms,
            });
        }
        for (&queue, &position) in &self.delivered {
            recovered.queues.entry(queue).or_default().delivered_up_to = Some(position);
        }
        recovered
    }

    /// The messages of a queue, as they should be loaded.
    pub(super) fn queue(&self, queue: QueueId) -> Vec<(Position, Arc<Message>)> {
        let rows = self.messages.range((queue, 0)..=(queue, Position::MAX));
        rows.map(|(&(_, position), (_, message))| (position, message.clone())).collect()
    }

    pub(super) fn assert_loaded_from(&self, store: &Store) {
        for queue in QUEUES {
            assert_eq!(store.load(queue, 0, usize::MAX, usize::MAX).expect("it is read"), self.queue(queue));
        }
    }
}

const QUEUES: std::ops::Range<QueueId> = 0..3;

/// A message of about this size.
pub(super) fn message(size: usize) -> Arc<Message> {
    Arc::new(Message::new("events", "order.created", &[0, 0], &vec![7; size]).expect("it is good"))
}

/// Any batches in which no position is used twice.
pub(super) fn batches() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let batches = prop::collection::vec(prop::collection::vec(change(), 0..40), 1..8);
    batches.prop_map(|mut batches| {
        let mut used = BTreeSet::new();
        for batch in &mut batches {
            batch.retain(|change| match change {
                Change::Insert { queue, position, .. } => used.insert((*queue, *position)),
                _ => true,
            });
        }
        batches
    })
}

fn change() -> impl Strategy<Value = Change> {
    let key = || (0..4).prop_map(|n| format!("queue/{n}"));
    let place = || (QUEUES, 0..60_u64);
    let size = prop_oneof![9 => 0..300_usize, 1 => 5_000..30_000_usize];
    prop_oneof![
        1 => (key(), prop::collection::vec(any::<u8>(), 0..20)).prop_map(|(key, value)| Change::Define { key, value }),
        1 => key().prop_map(|key| Change::Undefine { key }),
        20 => (place(), prop::option::of(0..1_000_u64), size).prop_map(|((queue, position), expires_at_ms, size)| {
            Change::Insert { queue, position, expires_at_ms, message: message(size) }
        }),
        10 => place().prop_map(|(queue, position)| Change::Remove { queue, position }),
        4 => (place(), 1..9_u32).prop_map(|((queue, position), count)| Change::Attempts { queue, position, count }),
        2 => place().prop_map(|(queue, position)| Change::DeliveredUpTo { queue, position }),
        1 => QUEUES.prop_map(|queue| Change::Forget { queue }),
    ]
}
