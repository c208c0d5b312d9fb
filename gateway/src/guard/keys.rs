use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::{ArcSwapOption, Guard as Loan};
use common::auth::KeySet;
use tokio::sync::Notify;

/// The keys that all workers verify by. Cheap to clone; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Keys(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    set: ArcSwapOption<NumberedSet>,
    numbers: AtomicU64,
    wanted: Notify,
}

/// A key set, and the number that tells it from those before.
#[derive(Debug)]
pub(super) struct NumberedSet {
    pub(super) number: u64,
    pub(super) keys: KeySet,
}

impl Keys {
    /// Verifies by `keys` from here on. The same keys again are no change.
    pub fn publish(&self, keys: KeySet) {
        if self.0.set.load().as_ref().is_some_and(|current| current.keys == keys) {
            return;
        }
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed);
        self.0.set.store(Some(Arc::new(NumberedSet { number, keys })));
    }

    /// The names of the keys.
    pub fn kids(&self) -> Vec<String> {
        let current = self.0.set.load();
        current.iter().flat_map(|current| current.keys.kids()).map(str::to_owned).collect()
    }

    /// Whether there are any.
    pub fn are_known(&self) -> bool {
        self.0.set.load().is_some()
    }

    pub(super) fn current(&self) -> Loan<Option<Arc<NumberedSet>>> {
        self.0.set.load()
    }

    /// Says that a token needs keys that are not here.
    pub(super) fn want_newer(&self) {
        self.0.wanted.notify_one();
    }

    /// Waits until somebody wants newer keys, or returns at once where somebody has since this was asked last.
    pub(super) async fn newer_wanted(&self) {
        self.0.wanted.notified().await;
    }
}
