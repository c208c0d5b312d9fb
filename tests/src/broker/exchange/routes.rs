//! The bindings of one exchange, and the queues that they choose.

use std::collections::HashMap;

use amq_protocol::types::FieldTable;

use super::QueueId;
use super::topic::Pattern;
use crate::broker::arguments::ExchangeKind;

/// The bindings of one exchange.
#[derive(Debug, Default)]
pub struct Routes {
    /// Those of one key together. Of a topic exchange, those whose key means only itself.
    by_key: HashMap<Box<str>, Vec<Bound>>,
    /// Those of a topic exchange whose key is a pattern.
    by_pattern: Vec<(Pattern, Box<str>, Vec<Bound>)>,
}

/// What is bound. To RabbitMQ, bindings with different arguments are different, though these mean nothing here.
#[derive(Debug, PartialEq)]
pub struct Bound {
    pub queue: QueueId,
    pub arguments: FieldTable,
}

impl Routes {
    /// Returns whether this binding is new.
    pub fn add(&mut self, kind: ExchangeKind, key: &str, bound: Bound) -> bool {
        let all = match Pattern::parse(key).filter(|_| kind == ExchangeKind::Topic) {
            None => self.by_key.entry(key.into()).or_default(),
            Some(pattern) => match self.by_pattern.iter().position(|(_, same, _)| **same == *key) {
                Some(at) => &mut self.by_pattern[at].2,
                None => &mut self.by_pattern.push_mut((pattern, key.into(), Vec::new())).2,
            },
        };
        let is_new = !all.contains(&bound);
        if is_new {
            all.push(bound);
        }
        is_new
    }

    /// Removes the bindings that are like this, and returns whether there were any.
    pub fn remove(&mut self, like: impl Fn(&str, &Bound) -> bool) -> bool {
        let before = self.len();
        self.by_key.retain(|key, all| {
            all.retain(|bound| !like(key, bound));
            !all.is_empty()
        });
        self.by_pattern.retain_mut(|(_, key, all)| {
            all.retain(|bound| !like(key, bound));
            !all.is_empty()
        });
        self.len() != before
    }

    /// Adds the queues that a message goes to, each once.
    pub fn choose(&self, kind: ExchangeKind, key: &str, queues: &mut Vec<QueueId>) {
        let before = queues.len();
        let mut take = |all: &[Bound]| queues.extend(all.iter().map(|bound| bound.queue));
        match kind {
            ExchangeKind::Direct => self.by_key.get(key).into_iter().for_each(|all| take(all)),
            ExchangeKind::Fanout => self.by_key.values().for_each(|all| take(all)),
            ExchangeKind::Topic => {
                self.by_key.get(key).into_iter().for_each(|all| take(all));
                let matching = self.by_pattern.iter().filter(|(pattern, ..)| pattern.matches(key));
                matching.for_each(|(_, _, all)| take(all));
            }
        }
        if queues.len() > before + 1 {
            queues[before..].sort_unstable();
            queues.dedup();
        }
    }

    /// All bindings, with their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Bound)> {
        let by_key = self.by_key.iter().map(|(key, all)| (&**key, all));
        let by_pattern = self.by_pattern.iter().map(|(_, key, all)| (&**key, all));
        by_key.chain(by_pattern).flat_map(|(key, all)| all.iter().map(move |bound| (key, bound)))
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty() && self.by_pattern.is_empty()
    }

    fn len(&self) -> usize {
        self.iter().count()
    }
}
