use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use tokio::sync::Notify;

use super::Exit;

/// One generation of an actor, as the actor sees it: the factory receives it and the actor keeps it.
#[derive(Clone, Debug)]
pub struct Life {
    generation: u64,
    marks: Arc<Mutex<Marks>>,
    became_healthy: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Marks {
    healthy_since: Option<Instant>,
    exit: Option<Exit>,
}

impl Life {
    pub(super) fn new(generation: u64) -> Self {
        Self { generation, marks: Arc::default(), became_healthy: Arc::default() }
    }

    /// Counts the generations of this actor, from 1.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Marks the actor as working again. Needed only by actors whose [`Spec`](super::Spec) says that being
    /// started is not yet being healthy, such as one that has still to connect.
    pub fn healthy(&self) {
        self.with(|marks| {
            marks.healthy_since.get_or_insert_with(Instant::now);
        });
        self.became_healthy.notify_one();
    }

    /// Says that the actor ends because something outside the process went away. The first reason counts.
    pub fn lost(&self, reason: impl Into<String>) {
        self.exit(Exit::Lost(reason.into()));
    }

    /// Says that the actor ends because it could not go on. The first reason counts.
    pub fn failed(&self, reason: impl Into<String>) {
        self.exit(Exit::Failed(reason.into()));
    }

    /// Whether the actor has been marked as working.
    pub fn is_healthy(&self) -> bool {
        self.with(|marks| marks.healthy_since.is_some())
    }

    /// Waits for [`healthy`](Self::healthy); for the guardian alone, which is the one to be notified.
    pub(super) async fn became_healthy(&self) {
        self.became_healthy.notified().await;
    }

    pub(super) fn healthy_since(&self) -> Option<Instant> {
        self.with(|marks| marks.healthy_since)
    }

    pub(super) fn take_exit(&self) -> Exit {
        self.with(|marks| marks.exit.take()).unwrap_or(Exit::Stopped)
    }

    fn exit(&self, exit: Exit) {
        self.with(|marks| {
            marks.exit.get_or_insert(exit);
        });
    }

    fn with<T>(&self, change: impl FnOnce(&mut Marks) -> T) -> T {
        // A panic while the lock is held leaves whole values behind.
        change(&mut self.marks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
