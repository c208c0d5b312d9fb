//! What a connection's task and the broker's state share: whether to go on, to wait, or to end.

use std::cell::Cell;
use std::rc::Rc;

use tokio::sync::Notify;

use super::outbox::{Outbox, Then};

/// One client's socket, as the rest of the broker sees it.
#[derive(Debug, Default)]
pub struct Link {
    /// What is to be said to it.
    pub outbox: Rc<Outbox>,
    is_ended: Cell<bool>,
    is_cut: Cell<bool>,
    is_held: Cell<bool>,
    is_silent: Cell<bool>,
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

    /// Reads and writes nothing until it is released: a tester's order.
    pub fn hold(&self, is_held: bool) {
        self.is_held.set(is_held);
        self.update();
    }

    /// The same, but what waits to be said is said before.
    pub fn hold_once_said(&self) {
        self.is_held.set(true);
        self.outbox.then(Then::Hold);
        self.changed.notify_one();
    }

    /// The same, until it is told to speak.
    pub fn silence(&self, is_silent: bool) {
        self.is_silent.set(is_silent);
        self.update();
    }

    /// The same, but what waits to be said is said before.
    pub fn silence_once_said(&self) {
        self.is_silent.set(true);
        self.outbox.then(Then::Hold);
        self.changed.notify_one();
    }

    /// Whether a tester's order keeps it from reading and writing.
    pub fn is_stopped(&self) -> bool {
        self.is_held.get() || self.is_silent.get()
    }

    /// Reads nothing while the broker takes no messages; heartbeats go on.
    pub fn block(&self, is_blocked: bool) {
        self.is_blocked.set(is_blocked);
        self.changed.notify_one();
    }

    /// Returns when it may read, or is ended.
    pub async fn may_read(&self) {
        while !self.is_ended.get() && (self.is_stopped() || self.is_blocked.get()) {
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
        self.outbox.hold(self.is_stopped());
        self.changed.notify_one();
    }
}
