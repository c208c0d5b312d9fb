use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::store::UnreadableRow;

/// The rows of the outbox that cannot be read, as far as this process has met them: they are met again and again, and each
/// is told of once. Clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Unreadable(Arc<Mutex<BTreeSet<u64>>>);

impl Unreadable {
    /// Notes and logs rows, but for those that are known already.
    pub(super) fn note(&self, met: &[UnreadableRow]) {
        let mut known = self.known();
        let fresh: Vec<_> = met.iter().filter(|row| known.insert(row.number)).collect();
        if let Some(first) = fresh.first() {
            let numbers: Vec<_> = fresh.iter().map(|row| row.number).collect();
            log::error!(
                "event=outbox_rows_unreadable rows={} numbers={numbers:?} error={:?}",
                fresh.len(),
                first.error.to_string(),
            );
        }
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.known().len()
    }

    fn known(&self) -> MutexGuard<'_, BTreeSet<u64>> {
        // A panic while the lock is held leaves a whole set behind.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoreError;

    #[test]
    fn a_row_counts_once_however_often_it_is_met() {
        let row = |number| UnreadableRow { number, error: StoreError::Corrupt("outbox".to_owned()) };
        let unreadable = Unreadable::default();

        for (met, known) in [(vec![row(2), row(5)], 2), (vec![row(2), row(5), row(7)], 3), (vec![row(7)], 3)]
        {
            unreadable.clone().note(&met);
            assert_eq!(unreadable.count(), known);
        }
    }
}
