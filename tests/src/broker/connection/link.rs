//! What a connection's task and the broker's state share: whether to go on, to wait, or to end.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::outbox::Outbox;

/// One client's socket, as the rest of the broker sees it.
#[derive(Debug, Default)]
pub struct Link {
    /// What is to be said to it.
    pub outbox: Rc<Outbox>,
    is_ended: Cell<bool>,
    is_cut: Cell<bool>,
    is_held: Cell<bool>,
    /// By a rule.
    is_silent: Cell<bool>,
    /// By an order about some clients, or all.
    is_silenced: Cell<bool>,
    is_blocked: Cell<bool>,
    changed: Notify,
}

impl Link {
    /// Ends the connection without a word.
    pub fn cut(&self) {
        self.is_cut.set(true);
        self.outbox.discard();
        self.end();
    }

    /// Whether it was ended without a word.
    pub fn is_cut(&self) -> bool {
        self.is_cut.get()
    }

    /// Ends the connection once everything is said.
    pub fn end(&self) {
        self.is_ended.set(true);
        self.outbox.close();
        self.changed.notify_one();
    }

    /// Whether it was ended from this side.
    pub fn is_ended(&self) -> bool {
        self.is_ended.get()
    }

    /// Reads nothing more, and says nothing more than waits to be said, until it is released: the effect of a rule.
    pub fn hold(&self, is_held: bool) {
        self.is_held.set(is_held);
        self.update();
    }

    /// The same until it is told to speak.
    pub fn silence(&self, is_silent: bool) {
        self.is_silent.set(is_silent);
        self.update();
    }

    /// The same while an order is in force.
    pub fn silence_by_order(&self, is_silenced: bool) {
        self.is_silenced.set(is_silenced);
        self.update();
    }

    /// Whether it neither hears nor speaks, for longer than until the next release.
    pub fn is_silent(&self) -> bool {
        self.is_silent.get() || self.is_silenced.get()
    }

    /// Whether a tester's order keeps it from reading and writing.
    pub fn is_stopped(&self) -> bool {
        self.is_held.get() || self.is_silent()
    }

    /// Reads nothing while the broker takes no messages; heartbeats go on.
    pub fn block(&self, is_blocked: bool) {
        self.is_blocked.set(is_blocked);
        self.changed.notify_one();
    }

    /// Returns when it may read, or is ended.
    pub async fn may_read(&self) {
        while !self.is_ended.get() && self.is_paused() {
            self.changed.notified().await;
        }
    }

    /// Returns when something was changed here.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    /// Whether it should not read now.
    pub fn is_paused(&self) -> bool {
        self.is_stopped() || self.is_blocked.get()
    }

    fn update(&self) {
        if self.is_stopped() {
            self.outbox.hold();
        } else {
            self.outbox.release();
        }
        self.changed.notify_one();
    }
}
