//! The running system, and what must hold at the end of every test.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use futures_util::future::join_all;

use super::{Child, DeadLetters, Folder, eventually_equal};
use crate::http::Http;
use crate::service::Service;

/// Longer than a reconnect after an outage and the drain of what waited together.
const SETTLE: Duration = Duration::from_secs(20);

/// Users, orders and gateway, started by a [`super::Setup`].
///
/// Must end in [`System::finish`]: dropped before, in a test that has not failed, it panics.
pub struct System {
    /// The users service.
    pub users: Child,
    /// The orders service.
    pub orders: Child,
    /// The gateway.
    pub gateway: Child,
    /// The gateway's public port, where clients are.
    pub api: Http,
    /// The broker of this system, and the virtual host in it.
    pub amqp_url: String,
    dead_letters: DeadLetters,
    leaves_outbox: AtomicBool,
    is_finished: bool,
    /// Last, so that it goes when the processes in it are gone.
    folder: Folder,
}

impl System {
    pub(super) fn new(
        users: Child,
        orders: Child,
        gateway: Child,
        api: Http,
        amqp_url: String,
        dead_letters: DeadLetters,
        folder: Folder,
    ) -> Self {
        Self {
            users,
            orders,
            gateway,
            api,
            amqp_url,
            dead_letters,
            leaves_outbox: AtomicBool::new(false),
            is_finished: false,
            folder,
        }
    }

    /// One of the three.
    pub fn child(&self, service: Service) -> &Child {
        match service {
            Service::Users => &self.users,
            Service::Orders => &self.orders,
            Service::Gateway => &self.gateway,
        }
    }

    /// All three.
    pub fn children(&self) -> impl Iterator<Item = &Child> {
        Service::ALL.into_iter().map(|service| self.child(service))
    }

    /// Where its data and logs are.
    pub fn folder(&self) -> &Folder {
        &self.folder
    }

    /// Declares that this test ends without its broker: the outboxes may hold events, and dead letters are not counted.
    pub fn expect_no_broker(&self) {
        self.leaves_outbox.store(true, Ordering::Relaxed);
    }

    /// Declares that somebody else checks in the end what [`System::finish`] would.
    pub fn is_checked_elsewhere(&mut self) {
        self.is_finished = true;
    }

    /// Waits until both services have their broker.
    ///
    /// # Panics
    ///
    /// When one ended, or has no broker within 30 s.
    pub async fn wait_broker(&self) {
        join_all([&self.users, &self.orders].map(Child::wait_not_degraded)).await;
    }

    /// Waits until no event waits in an outbox of a service that runs.
    ///
    /// # Panics
    ///
    /// When one still does after 20 s.
    pub async fn wait_outboxes_empty(&self) {
        for (child, metric) in
            [(&self.users, "users_outbox_pending"), (&self.orders, "orders_outbox_pending")]
        {
            if child.is_running() {
                eventually_equal(SETTLE, metric, Some(0.0), async || child.metric(metric).await).await;
            }
        }
    }

    /// Checks what every test promises at its end, and ends the processes.
    ///
    /// # Panics
    ///
    /// When an event still waits in an outbox, when a dead letter is left, or when a process that
    /// runs does not exit with 0 on SIGTERM.
    pub async fn finish(mut self) {
        if !self.leaves_outbox.load(Ordering::Relaxed) {
            self.wait_outboxes_empty().await;
            let count = async || (self.dead_letters)(self.amqp_url.clone()).await;
            eventually_equal(SETTLE, "letters in events.dead", 0, count).await;
        }

        let ends = self
            .children()
            .filter(|child| child.is_running())
            .map(async |child| (child, child.terminate().await));
        for (child, status) in join_all(ends).await {
            assert!(status.success(), "{} ended with {status} on SIGTERM", child.service());
        }
        self.is_finished = true;
    }
}

impl Drop for System {
    fn drop(&mut self) {
        if thread::panicking() {
            self.children().for_each(Child::print_log_tail);
        } else {
            assert!(
                self.is_finished,
                "the test did not call System::finish, so nothing is known of its outboxes"
            );
        }
    }
}
