//! What is declared for good, as the store keeps it: one row each, named by a JSON array.

use std::rc::Rc;

use amq_protocol::types::FieldTable;
use serde::{Deserialize, Serialize};

use super::arguments::{ExchangeOptions, QueueOptions, stored};
use super::core::{Broker, Vhost};
use super::exchange::Binding;
use super::queue::{Content, Entry, Queue, Size};
use super::store::{Change, QueueId, Recovered, RecoveredQueue};

/// The name of a row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Key {
    #[serde(rename = "vhost")]
    Vhost(String),
    #[serde(rename = "exchange")]
    Exchange(String, String),
    #[serde(rename = "queue")]
    Queue(String, String),
    /// There from an orderly end to the next start.
    #[serde(rename = "orderly-end")]
    OrderlyEnd,
    /// Virtual host, exchange, queue, routing key, and the arguments, which tell bindings apart as well.
    #[serde(rename = "binding")]
    Binding(String, String, String, String, #[serde(with = "stored")] FieldTable),
}

impl Key {
    /// What must be there first comes first.
    fn rank(&self) -> u8 {
        match self {
            Self::OrderlyEnd => 0,
            Self::Vhost(_) => 1,
            Self::Exchange(..) => 2,
            Self::Queue(..) => 3,
            Self::Binding(..) => 4,
        }
    }
}

/// A queue that is declared for good.
#[derive(Serialize, Deserialize)]
struct StoredQueue {
    id: QueueId,
    options: QueueOptions,
}

impl Broker {
    pub(super) fn define_vhost(&mut self, name: &str) {
        if !self.vhosts.contains_key(name) {
            self.vhosts.insert(name.into(), Vhost::new(name));
            self.define(&Key::Vhost(name.into()), &());
        }
    }

    /// Remembers that whatever was delivered is known.
    pub fn define_orderly_end(&mut self) {
        self.define(&Key::OrderlyEnd, &());
    }

    pub(super) fn define_exchange(&mut self, vhost: &str, name: &str, options: &ExchangeOptions) {
        self.define(&Key::Exchange(vhost.into(), name.into()), options);
    }

    pub(super) fn define_queue(&mut self, queue: &Queue) {
        let stored = StoredQueue { id: queue.id, options: queue.options.clone() };
        self.define(&Key::Queue(queue.vhost.to_string(), queue.name.to_string()), &stored);
    }

    pub(super) fn define_binding(&mut self, vhost: &str, queue: &str, binding: Binding) {
        let Binding { exchange, routing_key, arguments, .. } = binding;
        self.define(&Key::Binding(vhost.into(), exchange, queue.into(), routing_key, arguments), &());
    }

    pub(super) fn undefine_exchange(&mut self, vhost: &str, name: &str) {
        self.undefine(&Key::Exchange(vhost.into(), name.into()));
    }

    pub(super) fn undefine_queue(&mut self, vhost: &str, name: &str) {
        self.undefine(&Key::Queue(vhost.into(), name.into()));
    }

    pub(super) fn undefine_binding(&mut self, vhost: &str, queue: &str, binding: Binding) {
        let Binding { exchange, routing_key, arguments, .. } = binding;
        self.undefine(&Key::Binding(vhost.into(), exchange, queue.into(), routing_key, arguments));
    }

    fn define(&mut self, key: &Key, value: &impl Serialize) {
        match (serde_json::to_string(key), serde_json::to_vec(value)) {
            (Ok(key), Ok(value)) => self.journal.add(Change::Define { key, value }),
            (Err(error), _) | (_, Err(error)) => log::error!("event=not_defined key={key:?} error={error}"),
        }
    }

    fn undefine(&mut self, key: &Key) {
        match serde_json::to_string(key) {
            Ok(key) => self.journal.add(Change::Undefine { key }),
            Err(error) => log::error!("event=not_undefined key={key:?} error={error}"),
        }
    }

    /// Brings back what the store has.
    ///
    /// # Errors
    ///
    /// Names the row that cannot be understood: to go on without it would lose what was confirmed.
    pub fn restore_all(&mut self, recovered: Recovered) -> Result<(), String> {
        let Recovered { definitions, mut queues } = recovered;
        let mut rows = Vec::new();
        for (key, value) in definitions {
            let bad = |error: serde_json::Error| format!("the store's row {key} cannot be read: {error}");
            rows.push((serde_json::from_str::<Key>(&key).map_err(bad)?, key, value));
        }
        rows.sort_by_key(|(key, ..): &(Key, _, _)| key.rank());
        let was_orderly = matches!(rows.first(), Some((Key::OrderlyEnd, ..)));
        for (parsed, key, value) in rows {
            self.restore(parsed, &value, &mut queues)
                .map_err(|error| format!("the store's row {key}: {error}"))?;
        }
        if !was_orderly {
            // What was delivered last may not have been noted before the end, so that anything may have been seen.
            self.queues.values_mut().for_each(|queue| queue.backlog.redeliver());
        }
        Ok(())
    }

    fn restore(
        &mut self,
        key: Key,
        value: &[u8],
        queues: &mut std::collections::BTreeMap<QueueId, RecoveredQueue>,
    ) -> Result<(), String> {
        let words = |error: serde_json::Error| error.to_string();
        match key {
            // From here on it counts no more.
            Key::OrderlyEnd => self.undefine(&key),
            Key::Vhost(name) => {
                let vhost = Vhost::new(&name);
                self.vhosts.insert(name.into(), vhost);
            }
            Key::Exchange(vhost, name) => {
                let options = serde_json::from_slice(value).map_err(words)?;
                let exchanges =
                    &mut self.vhosts.get_mut(vhost.as_str()).ok_or("it has no virtual host")?.exchanges;
                exchanges.restore(&name, options);
            }
            Key::Queue(vhost, name) => {
                let StoredQueue { id, options } = serde_json::from_slice(value).map_err(words)?;
                let stored = queues.remove(&id).unwrap_or_default();
                self.restore_queue(id, &vhost, &name, options, stored);
            }
            Key::Binding(vhost_name, exchange, queue, routing_key, arguments) => {
                let vhost = self.vhosts.get_mut(vhost_name.as_str()).ok_or("it has no virtual host")?;
                let id = *vhost.queues.get(queue.as_str()).ok_or("it has no queue")?;
                let bound = vhost.exchanges.bind(&exchange, id, &routing_key, &arguments);
                bound.map_err(|refusal| refusal.text)?;
            }
        }
        Ok(())
    }

    fn restore_queue(
        &mut self,
        id: QueueId,
        vhost: &str,
        name: &str,
        options: QueueOptions,
        stored: RecoveredQueue,
    ) {
        let (vhost, name): (Rc<str>, Rc<str>) = (vhost.into(), name.into());
        let mut queue = Queue::new(id, vhost.clone(), name.clone(), options);
        let seen = stored.delivered_up_to.unwrap_or(0);
        queue.delivered_up_to = seen;
        for message in stored.messages {
            // Who was delivered it had not acknowledged it when the broker ended, so it comes again.
            let is_redelivered = message.position <= seen || message.attempts > 0;
            queue.backlog.restore(Entry {
                position: message.position,
                content: Content::OnDisk,
                size: Size { body: message.body_size, record: message.size },
                expires_at_ms: message.expires_at_ms,
                attempts: message.attempts.max(u32::from(is_redelivered)),
                is_redelivered,
            });
        }
        queue.backlog.begin_after(seen);
        self.next_queue = self.next_queue.max(id + 1);
        if let Some(vhost) = self.vhosts.get_mut(&vhost) {
            vhost.queues.insert(name, id);
        }
        self.queues.insert(id, queue);
    }
}
