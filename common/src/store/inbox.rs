use std::time::Duration;

use super::{StoreError, Tables, Transaction, expiring::Expiring};
use crate::event::EventId;

pub(super) const INBOX: Expiring = Expiring { entries: "inbox", due: "inbox_due" };

impl Transaction<'_> {
    /// Notes that `consumer` has seen the event, and returns whether it is for the first time.
    ///
    /// In one commit with the effect this makes the effect happen exactly once, however often the event is
    /// delivered within `retention`.
    ///
    /// # Errors
    /// When the file cannot be read or written.
    pub fn first_sight(
        &mut self,
        consumer: &str,
        event: &EventId,
        retention: Duration,
    ) -> Result<bool, StoreError> {
        let key = format!("{consumer}/{event}");
        if self.get_bytes(INBOX.entries, &key)?.is_some() {
            return Ok(false);
        }
        let until = self.now().saturating_add(retention).unwrap_or(jiff::Timestamp::MAX);
        INBOX.put(self, &key, &[], until)?;
        Ok(true)
    }
}
