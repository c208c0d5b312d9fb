use jiff::Timestamp;

use super::{StoreError, Tables, Transaction};

/// A table whose entries are removed some time after they were put there.
///
/// Beside the entries stands a second table, ordered by the time at which they are due.
#[derive(Clone, Copy)]
pub(super) struct Expiring {
    pub(super) entries: &'static str,
    pub(super) due: &'static str,
}

impl Expiring {
    /// Keeps `value` under `key` until `until`.
    pub(super) fn put(
        self,
        transaction: &mut Transaction<'_>,
        key: &str,
        value: &[u8],
        until: Timestamp,
    ) -> Result<(), StoreError> {
        transaction.put_bytes(self.entries, key, value)?;
        transaction.put_bytes(self.due, &format!("{}{key}", due_prefix(until)), &[])
    }

    /// Removes up to `limit` entries that are due, and returns how many there were.
    pub(super) fn sweep(self, transaction: &mut Transaction<'_>, limit: usize) -> Result<usize, StoreError> {
        let now = due_prefix(transaction.now());
        let oldest = transaction.page_bytes(self.due, "", None, limit)?;
        let due = oldest.items.into_iter().map(|(key, _)| key).take_while(|key| *key < now);
        let mut removed = 0;
        for due_key in due {
            if let Some(key) = due_key.get(now.len()..) {
                transaction.remove_bytes(self.entries, key)?;
            }
            transaction.remove_bytes(self.due, &due_key)?;
            removed += 1;
        }
        Ok(removed)
    }
}

/// Sorts as text the way that times sort: milliseconds in hexadecimal, of one length.
fn due_prefix(at: Timestamp) -> String {
    format!("{:016x}", at.as_millisecond().max(0))
}
