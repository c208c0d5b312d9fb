//! The file and what is in it.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use common::store::open_or_make;
use redb::{Builder, Database, DatabaseError, TableDefinition};

use super::{Position, QueueId, StoreError};

/// Where a message is.
pub(super) type Place = (QueueId, Position);

/// Queues, exchanges, bindings and virtual hosts, as the core writes them.
pub(super) const DEFINITIONS: TableDefinition<&str, &[u8]> = TableDefinition::new("definitions");

/// Every message that waits, with the millisecond at which it expires, or [`NEVER`].
pub(super) const MESSAGES: TableDefinition<Place, (u64, &[u8])> = TableDefinition::new("messages");

/// How often those were delivered that wait again.
pub(super) const ATTEMPTS: TableDefinition<Place, u32> = TableDefinition::new("attempts");

/// How far each queue was delivered.
pub(super) const DELIVERED: TableDefinition<QueueId, Position> = TableDefinition::new("delivered");

/// The millisecond at which a message expires that does not.
pub(super) const NEVER: u64 = u64::MAX;

/// Memory for the file's pages. Writing costs the same with a quarter of it, and sixteen times as much gains nothing.
const CACHE_BYTES: usize = 4 << 20;

/// Opens the file in this folder, or makes both.
pub(super) fn open(folder: &Path) -> Result<Database, StoreError> {
    fs::create_dir_all(folder).map_err(|cause| StoreError::Folder(folder.to_owned(), Arc::new(cause)))?;
    let file = folder.join("broker.redb");
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    open_or_make(&builder, &file).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::InUse(file),
        error => StoreError::Open(file, Arc::new(error.into())),
    })
}
