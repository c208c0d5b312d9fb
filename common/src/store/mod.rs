//! Where a service keeps what it owns: entities, outbox, inbox and idempotency records, in one file.
//!
//! *Owns*: [`Repository`] owns the file, a writer thread and the right to change anything in it.
//! *Receives*: [`Write`] with a [`Command`], [`Read`] with a [`Query`].
//! *Sends*: the events that a commit left for the relay, to its `on_events`.
//! *When it fails*: every command that was not committed is answered with an error; the next generation opens
//! the file as the last commit left it.
//!
//! What one command changes is one atomic, durable commit, and the answer leaves after it. Commands that arrive
//! together share a commit (*group commit*): while the writer waits for the disk, the next batch gathers.
//!
//! Indexes are tables of the same file rather than maps in memory. So they cannot be ahead of the disk, need no
//! undoing when a commit fails, cost no time at start-up however much is stored, and could be those of another
//! database: nothing outside `engine` names redb. Queries read a snapshot, and never wait for the writer.

mod command;
mod config;
mod engine;
mod error;
mod expiring;
mod file;
mod idempotency;
mod inbox;
mod metrics;
mod outbox;
mod repository;
mod shortage;
mod spans;
mod table;
mod writer;

pub use command::{Command, Importance, Query};
pub use config::{StoreConfig, StoreKind};
pub use engine::{Snapshot, Transaction};
pub use error::StoreError;
pub use file::open_or_make;
pub use idempotency::{Fingerprint, IdempotencyKey, IdempotentWrite, Once, Recall, Recalled};
pub use metrics::{InboxMetrics, StoreMetrics};
pub use outbox::{
    MarkSent, OutboxDepth, OutboxDepthAnswer, OutboxPage, OutboxRow, PendingEvents, UnreadableRow,
};
pub use repository::{Read, Repository, RepositoryError, RepositoryHandle, Write};
pub use shortage::Shortage;
pub use table::{Page, Table, Tables};

#[cfg(test)]
mod tests;
