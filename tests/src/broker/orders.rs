//! What a tester orders through the control socket, carried out.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::connection::{ConnectionId, crash};
use super::core::Broker;
use super::faults::{Answer, Order, Selection};
use super::refusal::Refusal;

/// Whom the broker neither hears nor answers, and how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Silence {
    /// By a part of their name; all where it is not said.
    pub name: Option<String>,
    /// For ever where it is not said.
    pub until: Option<Instant>,
}

impl Silence {
    fn is_for(&self, connection: &str) -> bool {
        self.name.as_ref().is_none_or(|name| connection.contains(name.as_str()))
    }
}

impl Broker {
    /// Carries out an order.
    pub fn obey(&mut self, order: Order) -> Answer {
        let mut affected = None;
        match order {
            Order::Drop { connections } => {
                let selected = self.selected(&connections);
                affected = Some(selected.len());
                selected.into_iter().for_each(|id| self.cut(id));
            }
            Order::Refuse { for_ms } => self.refusing = Some(until(for_ms)),
            Order::Accept => self.refusing = None,
            Order::Silence { connections, for_ms } => {
                affected = Some(self.selected(&connections).len());
                self.silences.retain(|silence| silence.name != connections.name);
                self.silences.push(Silence { name: connections.name, until: until(for_ms) });
                self.heed_silences();
            }
            Order::Speak => {
                self.connections.values().for_each(|connection| connection.link.silence(false));
                self.silences.clear();
                self.heed_silences();
            }
            Order::Block => self.is_blocked = true,
            Order::Unblock => {
                self.is_blocked = false;
                if self.alarm().is_none() {
                    self.unblock_publishers();
                }
            }
            Order::CancelConsumers { queue } => {
                let queues = self.queues.values().filter(|found| *found.name == *queue);
                let subscribers: Vec<_> = queues
                    .flat_map(|queue| {
                        queue.subscribers.iter().map(|subscriber| (queue.id, subscriber.clone()))
                    })
                    .collect();
                affected = Some(subscribers.len());
                subscribers.iter().for_each(|(queue, subscriber)| self.cancel_one(*queue, subscriber));
            }
            Order::CloseChannels { connections, code, text } => {
                let refusal = Refusal::ordered(code, text);
                let mut closed = 0;
                for id in self.selected(&connections) {
                    let Some(connection) = self.connections.get(&id) else { continue };
                    let open = connection.channels.iter().filter(|(_, channel)| !channel.is_closing);
                    for channel in open.map(|(channel, _)| *channel).collect::<Vec<_>>() {
                        self.close_channel(id, channel, (0, 0), &refusal);
                        closed += 1;
                    }
                }
                affected = Some(closed);
            }
            Order::ForgetQueues => {
                let queues: Vec<_> = self.queues.keys().copied().collect();
                affected = Some(queues.len());
                queues.into_iter().for_each(|queue| self.delete_queue(queue));
            }
            Order::AddVhost { name } => self.define_vhost(&name),
            Order::Rule(rule) => return Answer::added(self.rules.add(rule)),
            Order::ClearRules => {
                affected = Some(self.rules.fired().len());
                self.rules.clear();
            }
            Order::Release => {
                self.connections.values().for_each(|connection| connection.link.hold(false));
                self.resume_all();
            }
            Order::Status => return self.status(),
            Order::Crash => crash(),
        }
        self.settle();
        self.timers.notify_one();
        affected.map_or_else(Answer::done, |affected| Answer::did(affected as u64))
    }

    /// Is silent to whom it shall be, and to nobody else.
    pub(super) fn heed_silences(&mut self) {
        for connection in self.connections.values() {
            connection.link.silence_by_order(self.is_silenced(&connection.name));
        }
        self.spoken.notify_waiters();
        self.resume_all();
    }

    /// Whether it is silent to clients of this name.
    pub(super) fn is_silenced(&self, name: &str) -> bool {
        self.silences.iter().any(|silence| silence.is_for(name))
    }

    /// Whether it is silent to whoever comes.
    pub fn is_silent_to_all(&self) -> bool {
        self.silences.iter().any(|silence| silence.name.is_none())
    }

    fn resume_all(&mut self) {
        let all: Vec<_> = self.connections.keys().copied().collect();
        all.into_iter().for_each(|id| self.resume(id));
    }

    /// Whether new clients are turned away.
    pub fn is_refusing(&self) -> bool {
        self.refusing.is_some()
    }

    fn selected(&self, Selection { name }: &Selection) -> Vec<ConnectionId> {
        let is_meant = |connection: &str| name.as_ref().is_none_or(|name| connection.contains(name.as_str()));
        let connections = self.connections.iter().filter(|(_, connection)| is_meant(&connection.name));
        let mut selected: Vec<_> = connections.map(|(id, _)| *id).collect();
        selected.sort_unstable();
        selected
    }

    fn status(&self) -> Answer {
        let connections: Vec<_> = self
            .connections
            .values()
            .map(|connection| {
                json!({
                    "name": &*connection.name, "vhost": &*connection.vhost, "channels": connection.channels.len(),
                    "blocked": connection.is_blocked, "stopped": connection.link.is_stopped(),
                })
            })
            .collect();
        let mut queues: Vec<_> = self.queues.values().collect();
        queues.sort_by(|one, other| (&one.vhost, &one.name).cmp(&(&other.vhost, &other.name)));
        let queues: Vec<_> = queues
            .into_iter()
            .map(|queue| {
                json!({
                    "name": &*queue.name, "vhost": &*queue.vhost, "waiting": queue.backlog.len(),
                    "unacknowledged": queue.backlog.unacked(), "bytes": queue.backlog.bytes(),
                    "consumers": queue.subscribers.len(), "stranded": queue.stranded.len(),
                })
            })
            .collect();
        let parts = json!({
            "connections": connections, "queues": queues, "blocked": self.alarm(), "refusing": self.is_refusing(),
        });
        Answer::status(&self.rules.fired(), parts)
    }
}

fn until(for_ms: Option<u64>) -> Option<Instant> {
    for_ms.and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
}
