use std::fmt;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use super::super::BadMessage;
use super::{Position, QueueId};

/// Why the store cannot be opened or cannot go on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// The folder is missing and cannot be made.
    Folder(PathBuf, Arc<io::Error>),
    /// Another process has this file open.
    InUse(PathBuf),
    /// The file cannot be opened.
    Open(PathBuf, Arc<redb::Error>),
    /// There is no room for what was to be written.
    Full(Arc<redb::Error>),
    /// The file cannot be read or written.
    Failed(Arc<redb::Error>),
    /// What is kept at this place is no message.
    BadRecord {
        /// The queue.
        queue: QueueId,
        /// The place in it.
        position: Position,
        /// What is wrong.
        cause: BadMessage,
    },
    /// The thread that writes cannot be started.
    Thread(Arc<io::Error>),
    /// The thread that writes has panicked.
    WriterEnded,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(folder, _) => write!(f, "cannot make the broker's folder {}", folder.display()),
            Self::InUse(file) => write!(
                f,
                "another broker has {} open: stop it, or give this one a folder of its own",
                file.display()
            ),
            Self::Open(file, _) => write!(f, "cannot open the broker's file {}", file.display()),
            Self::Full(_) => f.write_str("the disk has no room for the broker's messages"),
            Self::Failed(_) => f.write_str("cannot read or write the broker's file"),
            Self::BadRecord { queue, position, .. } => {
                write!(f, "the broker's file is damaged: queue {queue} has no message at position {position}")
            }
            Self::Thread(_) => f.write_str("cannot start the thread that writes the broker's file"),
            Self::WriterEnded => f.write_str("the thread that writes the broker's file has panicked"),
        }
    }
}

impl std::error::Error for StoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(_, cause) | Self::Thread(cause) => Some(&**cause),
            Self::Open(_, cause) | Self::Full(cause) | Self::Failed(cause) => Some(&**cause),
            Self::BadRecord { cause, .. } => Some(cause),
            Self::InUse(_) | Self::WriterEnded => None,
        }
    }
}

impl<E: Into<redb::Error>> From<E> for StoreError {
    fn from(error: E) -> Self {
        use ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let error = error.into();
        let full = matches!(&error, redb::Error::Io(cause) if matches!(cause.kind(), StorageFull | QuotaExceeded | FileTooLarge));
        if full { Self::Full(Arc::new(error)) } else { Self::Failed(Arc::new(error)) }
    }
}
