//! redb, and the only page that names it.

use std::{
    cell::RefCell,
    collections::HashMap,
    fs,
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use jiff::Timestamp;
use redb::{
    Database, ReadTransaction, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition,
    TableError, WriteTransaction, backends::InMemoryBackend,
};
use serde::Serialize;

use super::{
    OutboxPage, OutboxRow, Page, StoreConfig, StoreError, StoreKind, Table, Tables, UnreadableRow,
    file::open_or_make,
    table::{decode, encode},
};
use crate::event::Envelope;

type Rows = TableDefinition<'static, &'static str, &'static [u8]>;

/// Events that wait for the broker, by the order in which they were committed.
const OUTBOX: TableDefinition<u64, &[u8]> = TableDefinition::new("outbox");

/// The highest outbox number ever given, so that numbers are never used twice.
const OUTBOX_LAST: TableDefinition<(), u64> = TableDefinition::new("outbox_last");

/// The open file.
#[derive(Clone)]
pub(super) struct Engine {
    database: Arc<Database>,
    pending: Pending,
    last: Arc<AtomicU64>,
}

/// Counts the events that wait for the broker, and knows since when the oldest does. Clones share it, and keep no file
/// open.
#[derive(Clone)]
pub(super) struct Pending(Arc<Waiting>);

/// No event waits, or none that can be read.
const NONE: i64 = i64::MIN;

struct Waiting {
    count: AtomicU64,
    /// In milliseconds since 1970, or [`NONE`]; meaningless where none waits.
    oldest: AtomicI64,
}

impl Pending {
    fn new(count: u64, oldest: Option<Timestamp>) -> Self {
        let pending = Self(Arc::new(Waiting { count: AtomicU64::new(count), oldest: AtomicI64::new(NONE) }));
        pending.set(count, Some(oldest));
        pending
    }

    pub(super) fn count(&self) -> u64 {
        self.0.count.load(Ordering::Relaxed)
    }

    fn oldest(&self) -> Option<Timestamp> {
        match self.0.oldest.load(Ordering::Relaxed) {
            oldest if oldest != NONE && self.count() > 0 => Timestamp::from_millisecond(oldest).ok(),
            _ => None,
        }
    }

    /// Notes how many wait, and since when where that has changed.
    fn set(&self, count: u64, oldest: Option<Option<Timestamp>>) {
        if let Some(oldest) = oldest {
            self.0.oldest.store(oldest.map_or(NONE, Timestamp::as_millisecond), Ordering::Relaxed);
        }
        self.0.count.store(count, Ordering::Relaxed);
    }
}

impl Engine {
    /// Opens the file, or makes it.
    pub(super) fn open(config: &StoreConfig, service: &str) -> Result<Self, StoreError> {
        let mut builder = Database::builder();
        builder.set_cache_size(config.cache_bytes);
        let database = match config.kind {
            StoreKind::Memory => builder.create_with_backend(InMemoryBackend::new()).map_err(io)?,
            StoreKind::Redb => {
                fs::create_dir_all(&config.folder)
                    .map_err(|error| StoreError::Io(format!("{}: {error}", config.folder.display())))?;
                let file = config.folder.join(format!("{service}.redb"));
                open_or_make(&builder, &file)
                    .map_err(|error| StoreError::Io(format!("{}: {error}", file.display())))?
            }
        };
        let transaction = database.begin_write().map_err(io)?;
        let (pending, oldest) = {
            let outbox = transaction.open_table(OUTBOX).map_err(io)?;
            (outbox.len().map_err(io)?, oldest(&outbox)?)
        };
        let last = {
            let table = transaction.open_table(OUTBOX_LAST).map_err(io)?;
            match table.get(()).map_err(io)? {
                Some(last) => last.value(),
                // In memory every generation starts afresh; its numbers must still be new to the relay.
                None if config.kind == StoreKind::Memory => Timestamp::now().as_microsecond().unsigned_abs(),
                None => 0,
            }
        };
        transaction.commit().map_err(io)?;
        Ok(Self {
            database: Arc::new(database),
            pending: Pending::new(pending, oldest),
            last: Arc::new(AtomicU64::new(last)),
        })
    }

    /// Events that wait for the broker.
    pub(super) fn pending(&self) -> u64 {
        self.pending.count()
    }

    /// Since when the oldest event has waited for the broker.
    pub(super) fn oldest_event(&self) -> Option<Timestamp> {
        self.pending.oldest()
    }

    pub(super) fn pending_events(&self) -> Pending {
        self.pending.clone()
    }

    /// A consistent view of the last commit.
    pub(super) fn snapshot(&self) -> Result<Snapshot, StoreError> {
        Ok(Snapshot { transaction: self.database.begin_read().map_err(io)? })
    }

    /// Runs `work` in a transaction and commits it durably; whatever fails leaves the file as it was. Returns
    /// the events that the commit added to the outbox.
    pub(super) fn transact(
        &self,
        now: Timestamp,
        work: impl FnOnce(&mut Transaction<'_>) -> Result<(), StoreError>,
    ) -> Result<Vec<Envelope>, StoreError> {
        let mut transaction = self.database.begin_write().map_err(io)?;
        // About 0.2 ms a commit, so that opening after a `kill -9` takes milliseconds however much is stored.
        transaction.set_quick_repair(true);
        let (pending, last) = (self.pending(), self.last.load(Ordering::Relaxed));
        let mut running = Transaction {
            transaction: &transaction,
            tables: RefCell::default(),
            now,
            pending,
            last,
            writes: 0,
            enqueued: Vec::new(),
            oldest_left: self.pending.oldest().is_none(),
        };
        work(&mut running)?;
        let (writes, pending_after, last_after) = (running.writes, running.pending, running.last);
        let another_is_oldest = running.oldest_left && pending_after > 0;
        let enqueued = std::mem::take(&mut running.enqueued);
        drop(running);
        if writes > 0 {
            if last_after != last {
                transaction.open_table(OUTBOX_LAST).map_err(io)?.insert((), last_after).map_err(io)?;
            }
            let oldest = match another_is_oldest {
                true => Some(oldest(&transaction.open_table(OUTBOX).map_err(io)?)?),
                false => None,
            };
            transaction.commit().map_err(io)?;
            self.pending.set(pending_after, oldest);
            self.last.store(last_after, Ordering::Relaxed);
        }
        Ok(enqueued)
    }
}

/// What a command reads and writes; everything in it is committed together, or nothing.
pub struct Transaction<'a> {
    transaction: &'a WriteTransaction,
    // A table may be open only once at a time, and opening it costs a look-up.
    tables: RefCell<HashMap<&'static str, redb::Table<'a, &'static str, &'static [u8]>>>,
    now: Timestamp,
    pending: u64,
    last: u64,
    writes: u64,
    enqueued: Vec<Envelope>,
    /// The event that had waited the longest is gone, or there was none.
    oldest_left: bool,
}

impl<'a> Transaction<'a> {
    /// The time of the commit, the same for all that it holds.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// Keeps `value` under `key`, in place of what was there.
    ///
    /// # Errors
    /// When the value cannot be encoded, or the file not written.
    pub fn put<V: Serialize>(&mut self, table: Table<V>, key: &str, value: &V) -> Result<(), StoreError> {
        let bytes = encode(table.name, key, value)?;
        self.put_bytes(table.name, key, &bytes)
    }

    /// Removes what is under `key`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn remove<V>(&mut self, table: Table<V>, key: &str) -> Result<(), StoreError> {
        self.remove_bytes(table.name, key)
    }

    /// Leaves an event for the broker, which the relay publishes after the commit.
    ///
    /// # Errors
    /// When the event cannot be encoded, or the file not written.
    pub fn publish(&mut self, envelope: Envelope) -> Result<(), StoreError> {
        let bytes = encode("outbox", envelope.id.as_str(), &envelope)?;
        self.writes += 1;
        self.last += 1;
        let mut outbox = self.transaction.open_table(OUTBOX).map_err(io)?;
        outbox.insert(self.last, bytes.as_slice()).map_err(io)?;
        self.pending += 1;
        self.enqueued.push(envelope);
        Ok(())
    }

    /// How many writes were made so far.
    pub(super) fn writes(&self) -> u64 {
        self.writes
    }

    /// Removes events that were confirmed; numbers that are gone already are passed over.
    pub(super) fn forget_events(&mut self, numbers: &[u64]) -> Result<(), StoreError> {
        self.writes += 1;
        let mut outbox = self.transaction.open_table(OUTBOX).map_err(io)?;
        for number in numbers {
            if outbox.remove(number).map_err(io)?.is_some() {
                self.pending = self.pending.saturating_sub(1);
                self.oldest_left = true;
            }
        }
        Ok(())
    }

    /// Overwrites an event with what is none.
    #[cfg(test)]
    pub(super) fn damage_event(&mut self, number: u64) -> Result<(), StoreError> {
        self.writes += 1;
        let mut outbox = self.transaction.open_table(OUTBOX).map_err(io)?;
        outbox.insert(number, b"damaged".as_slice()).map(drop).map_err(io)
    }

    pub(super) fn put_bytes(
        &mut self,
        table: &'static str,
        key: &str,
        value: &[u8],
    ) -> Result<(), StoreError> {
        self.writes += 1;
        self.with(table, |rows| rows.insert(key, value).map(drop).map_err(io))
    }

    pub(super) fn remove_bytes(&mut self, table: &'static str, key: &str) -> Result<(), StoreError> {
        self.writes += 1;
        self.with(table, |rows| rows.remove(key).map(drop).map_err(io))
    }

    fn with<T>(
        &self,
        name: &'static str,
        use_table: impl FnOnce(&mut redb::Table<'a, &'static str, &'static [u8]>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        use std::collections::hash_map::Entry;
        match self.tables.borrow_mut().entry(name) {
            Entry::Occupied(mut open) => use_table(open.get_mut()),
            Entry::Vacant(closed) => {
                let table = self.transaction.open_table(Rows::new(name)).map_err(io)?;
                use_table(closed.insert(table))
            }
        }
    }
}

impl Tables for Transaction<'_> {
    fn get_bytes(&self, table: &'static str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.with(table, |rows| get(rows, key))
    }

    fn page_bytes(
        &self,
        table: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, Vec<u8>)>, StoreError> {
        self.with(table, |rows| page(rows, prefix, after, limit))
    }
}

/// A consistent view of the last commit.
pub struct Snapshot {
    transaction: ReadTransaction,
}

impl Snapshot {
    /// Returns up to `limit` rows of the outbox after number `after`, oldest first.
    pub(super) fn outbox_after(&self, after: u64, limit: usize) -> Result<OutboxPage, StoreError> {
        let outbox = self.transaction.open_table(OUTBOX).map_err(io)?;
        let mut page = OutboxPage::default();
        for row in outbox.range(after.saturating_add(1)..).map_err(io)?.take(limit) {
            let (number, bytes) = row.map_err(io)?;
            let number = number.value();
            match decode("outbox", &number.to_string(), bytes.value()) {
                Ok(envelope) => page.rows.push(OutboxRow { number, envelope }),
                Err(error) => page.unreadable.push(UnreadableRow { number, error }),
            }
        }
        Ok(page)
    }

    /// Returns how many events wait, and the number of the last one.
    pub(super) fn outbox_depth(&self) -> Result<(u64, u64), StoreError> {
        let outbox = self.transaction.open_table(OUTBOX).map_err(io)?;
        let last = outbox.last().map_err(io)?.map_or(0, |(number, _)| number.value());
        Ok((outbox.len().map_err(io)?, last))
    }

    fn table(
        &self,
        name: &'static str,
    ) -> Result<Option<redb::ReadOnlyTable<&'static str, &'static [u8]>>, StoreError> {
        match self.transaction.open_table(Rows::new(name)) {
            Ok(table) => Ok(Some(table)),
            // Nothing was ever put there.
            Err(TableError::TableDoesNotExist(_)) => Ok(None),
            Err(error) => Err(io(error)),
        }
    }
}

impl Tables for Snapshot {
    fn get_bytes(&self, table: &'static str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.table(table)?.map_or(Ok(None), |rows| get(&rows, key))
    }

    fn page_bytes(
        &self,
        table: &'static str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<(String, Vec<u8>)>, StoreError> {
        let nothing = Page { items: Vec::new(), more: false };
        self.table(table)?.map_or(Ok(nothing), |rows| page(&rows, prefix, after, limit))
    }
}

/// How many rows that cannot be read are passed over at each commit.
const LOOKED_AT: usize = 64;

/// When the first row of the outbox was committed that can be read, at the price of one look-up however many follow it.
/// Others wait for a mend, and not for the broker; behind very many of them nobody looks.
fn oldest(outbox: &impl ReadableTable<u64, &'static [u8]>) -> Result<Option<Timestamp>, StoreError> {
    for row in outbox.iter().map_err(io)?.take(LOOKED_AT) {
        let (number, bytes) = row.map_err(io)?;
        if let Ok(Envelope { time, .. }) = decode("outbox", &number.value().to_string(), bytes.value()) {
            return Ok(Some(time));
        }
    }
    Ok(None)
}

fn get(
    rows: &impl ReadableTable<&'static str, &'static [u8]>,
    key: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    Ok(rows.get(key).map_err(io)?.map(|bytes| bytes.value().to_vec()))
}

fn page(
    rows: &impl ReadableTable<&'static str, &'static [u8]>,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Page<(String, Vec<u8>)>, StoreError> {
    let mut items = Vec::new();
    let from = format!("{prefix}{}", after.unwrap_or_default());
    for row in rows.range(from.as_str()..).map_err(io)? {
        let (key, value) = row.map_err(io)?;
        let Some(rest) = key.value().strip_prefix(prefix) else { break };
        if after == Some(rest) {
            continue;
        }
        if items.len() == limit {
            return Ok(Page { items, more: true });
        }
        items.push((rest.to_owned(), value.value().to_vec()));
    }
    Ok(Page { items, more: false })
}

fn io(error: impl Into<redb::Error>) -> StoreError {
    use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    match error.into() {
        redb::Error::Io(error) if matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge) => {
            StoreError::NoRoom(error.to_string())
        }
        error => StoreError::Io(error.to_string()),
    }
}
