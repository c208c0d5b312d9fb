//! What can go wrong with a private node.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why there is no node, or why it did not do what it was told.
#[derive(Debug)]
#[non_exhaustive]
pub enum RabbitError {
    /// No usable `rabbitmq-server` on this machine.
    NotInstalled,
    /// Its folder or process cannot be made.
    Io(io::Error),
    /// It ended while it was starting. Its output is in the file.
    Ended(ExitStatus, PathBuf),
    /// It did not answer in time. Its output is in the file.
    NotReady(Duration, PathBuf),
    /// `rabbitmqctl` failed and said this.
    Ctl(String),
}

impl fmt::Display for RabbitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled => f.write_str(
                "no rabbitmq-server on this machine: install it with `apt-get install rabbitmq-server` and run this again",
            ),
            Self::Io(_) => f.write_str("cannot run rabbitmq-server"),
            Self::Ended(status, log) => write!(f, "rabbitmq-server ended at start ({status}), see {}", log.display()),
            Self::NotReady(after, log) => {
                write!(f, "rabbitmq-server takes no connections after {after:?}, see {}", log.display())
            }
            Self::Ctl(output) => write!(f, "rabbitmqctl failed: {}", output.trim()),
        }
    }
}

impl std::error::Error for RabbitError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for RabbitError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
