//! What a tester orders through the control socket, carried out.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::connection::{ConnectionId, crash};
use super::core::Broker;
use super::faults::{Answer, Order, Selection};
use super::refusal::Refusal;

impl Broker {
    /// Carries out an order.
    pub fn obey(&mut self, order: Order) -> Answer {
        match order {
            Order::Drop { connections } => {
                self.selected(&connections).into_iter().for_each(|id| self.cut(id));
            }
            Order::Refuse { for_ms } => self.refusing = Some(until(for_ms)),
            Order::Accept => self.refusing = None,
            Order::Silence { connections, for_ms } => {
                for id in self.selected(&connections) {
                    self.on_link(id, |link| link.silence(true));
                }
                self.silencing = Some((connections.name, until(for_ms)));
            }
            Order::Speak => self.speak(),
            Order::Block => self.is_blocked = true,
            Order::Unblock => {
                self.is_blocked = false;
                if self.alarm().is_none() {
                    self.unblock_publishers();
                }
            }
            Order::CancelConsumers { queue } => {
                let queues = self.queues.values_mut().filter(|found| *found.name == *queue);
                let subscribers: Vec<_> = queues.flat_map(|queue| queue.subscribers.drain(..)).collect();
                subscribers.iter().for_each(|subscriber| self.cancel(subscriber));
            }
            Order::CloseChannels { connections, code, text } => {
                let refusal = Refusal::ordered(code, text);
                for id in self.selected(&connections) {
                    let channels =
                        self.connections.get(&id).map(|connection| connection.channels.keys().copied());
                    for channel in channels.into_iter().flatten().collect::<Vec<_>>() {
                        self.close_channel(id, channel, (0, 0), &refusal);
                    }
                }
            }
            Order::ForgetQueues => {
                let queues: Vec<_> = self.queues.keys().copied().collect();
                queues.into_iter().for_each(|queue| self.delete_queue(queue));
            }
            Order::AddVhost { name } => self.define_vhost(&name),
            Order::Rule(rule) => return Answer::added(self.rules.add(rule)),
            Order::ClearRules => {
                self.rules.clear();
                self.confirm_the_collected();
            }
            Order::Release => {
                self.connections.values().for_each(|connection| connection.link.hold(false));
                let all: Vec<_> = self.connections.keys().copied().collect();
                all.into_iter().for_each(|id| self.resume(id));
            }
            Order::Status => return self.status(),
            Order::Crash => crash(),
        }
        self.settle();
        self.timers.notify_one();
        Answer::done()
    }

    /// Ends every silence.
    pub(super) fn speak(&mut self) {
        self.silencing = None;
        self.connections.values().for_each(|connection| connection.link.silence(false));
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
    for_ms.map(|ms| Instant::now() + Duration::from_millis(ms))
}
