//! Publishers who have to wait: because a tester wants it, or because too much waits in the queues.

use amq_protocol::protocol::{AMQPClass, connection};

use super::connection::{ConnectionId, short};
use super::core::Broker;
use super::queue::Queue;

impl Broker {
    /// Looks whether the queues hold too much, and lets publishers go on where they do not any more.
    pub(super) fn look_whether_it_is_full(&mut self) {
        let bytes: u64 = self.queues.values().map(Queue::bytes).sum();
        // Once blocked, some room has to come before the next message is let in.
        let most = if self.is_full { self.most_bytes / 10 * 9 } else { self.most_bytes };
        self.is_full = bytes > most;
        if self.alarm().is_none() && self.is_blocking_someone() {
            self.unblock_publishers();
        }
    }

    /// Why publishers are blocked, if they are.
    pub(super) fn alarm(&self) -> Option<&'static str> {
        if self.is_blocked {
            Some("blocked by a fault command")
        } else if self.is_full {
            Some("low on room for messages: the queues hold more than --queue-bytes allows")
        } else {
            None
        }
    }

    fn is_blocking_someone(&self) -> bool {
        self.connections.values().any(|connection| connection.is_blocked)
    }

    /// Stops reading from a publisher, and says so.
    pub(super) fn block_publisher(&mut self, id: ConnectionId, reason: &str) {
        let Some(connection) = self.connections.get_mut(&id) else { return };
        if std::mem::replace(&mut connection.is_blocked, true) {
            return;
        }
        connection.link.block(true);
        if connection.knows_blocked {
            let blocked = connection::Blocked { reason: short(reason) };
            connection.say(0, AMQPClass::Connection(connection::AMQPMethod::Blocked(blocked)));
        }
    }

    /// Reads from publishers again.
    pub(super) fn unblock_publishers(&mut self) {
        for connection in self.connections.values_mut().filter(|connection| connection.is_blocked) {
            connection.is_blocked = false;
            connection.link.block(false);
            if connection.knows_blocked {
                let unblocked = connection::AMQPMethod::Unblocked(connection::Unblocked {});
                connection.say(0, AMQPClass::Connection(unblocked));
            }
        }
    }
}
