//! The embedded broker as a child process: what `cargo up` runs, and what the tests kill, stop and block.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::faults::{Control, ControlError, Order, socket_in};
use crate::last_end::in_words;
use crate::rabbit::Server;
use crate::watched::{Keep, NotUp, Watched};

/// What it prints, among its logs.
const OUTPUT: &str = "broker.log";

/// An embedded broker of one's own, like [`crate::rabbit::Node`]. Dropping it kills it; so does the end of this process.
#[derive(Debug)]
pub struct EmbeddedNode {
    warren: PathBuf,
    vhosts: Vec<String>,
    queue_bytes: Option<u64>,
    process: Watched,
}

impl EmbeddedNode {
    /// Prepares a broker of the binary `warren`, whose address is known, but which does not run yet.
    ///
    /// All state is in `folder`. Besides `/` it has the virtual hosts named here.
    ///
    /// # Errors
    ///
    /// `folder` cannot be written.
    pub fn prepare(
        warren: &Path,
        folder: &Path,
        keep: Keep,
        vhosts: &[String],
    ) -> Result<Self, EmbeddedError> {
        let process =
            Watched::new(folder, keep).map_err(|error| EmbeddedError::Folder(folder.to_owned(), error))?;
        Ok(Self { warren: warren.to_owned(), vhosts: vhosts.to_owned(), queue_bytes: None, process })
    }

    /// Blocks publishers beyond so many bytes of messages.
    #[must_use]
    pub fn queue_bytes(mut self, queue_bytes: u64) -> Self {
        self.queue_bytes = Some(queue_bytes);
        self
    }

    /// Starts it, for the first time or again on the same port and data, and waits until connections work.
    ///
    /// # Errors
    ///
    /// It ended, which says why, or takes no connections within a minute; both name the file of its log.
    pub async fn start(&self) -> Result<Server, EmbeddedError> {
        let log = self.process.logs().join(OUTPUT);
        let before = fs::metadata(&log).map_or(0, |log| log.len());
        let command =
            self.command().map_err(|error| EmbeddedError::Folder(self.process.folder().to_owned(), error))?;
        self.process.start(command).await.map_err(|error| match error {
            NotUp::Io(error) => EmbeddedError::Io(error),
            NotUp::Ended(status) => EmbeddedError::Ended { status, why: last_words(&log, before), log },
            NotUp::Silent(after) => EmbeddedError::NotReady(after, log),
        })
    }

    /// Its folder, port and process.
    pub(crate) fn process(&self) -> &Watched {
        &self.process
    }

    /// Where it takes orders, among them every fault that it can be asked for.
    pub fn control(&self) -> Control {
        Control::at(&socket_in(self.process.folder()))
    }

    /// Blocks every connection that publishes, as RabbitMQ does when memory is short.
    ///
    /// # Errors
    ///
    /// It takes no orders.
    pub async fn block_publishers(&self) -> Result<(), EmbeddedError> {
        self.order(&Order::Block).await
    }

    /// Lets them publish again.
    ///
    /// # Errors
    ///
    /// It takes no orders.
    pub async fn unblock_publishers(&self) -> Result<(), EmbeddedError> {
        self.order(&Order::Unblock).await
    }

    /// Makes more virtual hosts.
    ///
    /// # Errors
    ///
    /// It takes no orders.
    pub async fn add_vhosts(&self, vhosts: &[String]) -> Result<(), EmbeddedError> {
        for name in vhosts {
            self.order(&Order::AddVhost { name: name.clone() }).await?;
        }
        Ok(())
    }

    async fn order(&self, order: &Order) -> Result<(), EmbeddedError> {
        self.control().order(order).await.map(drop).map_err(EmbeddedError::Control)
    }

    fn command(&self) -> io::Result<Command> {
        let mut command = self.process.command(&self.warren, OUTPUT)?;
        command.args(["broker", "--port", &self.process.port().to_string(), "--data"]);
        command.arg(self.process.folder());
        command.args(self.vhosts.iter().flat_map(|vhost| ["--vhost", vhost]));
        command
            .args(self.queue_bytes.iter().flat_map(|bytes| ["--queue-bytes".to_owned(), bytes.to_string()]));
        Ok(command)
    }
}

/// What the log says since it had so many bytes of why the broker has ended.
fn last_words(log: &Path, before: u64) -> Option<String> {
    let text = fs::read(log).ok()?;
    let text = String::from_utf8_lossy(text.get(usize::try_from(before).ok()?..)?).into_owned();
    let said = || text.lines().rev().map(str::trim).filter(|line| !line.is_empty());
    // After a panic Rust says how to have a backtrace.
    let told = ["error: ", "broker cannot start: "];
    let why = said().find_map(|line| told.iter().find_map(|prefix| line.strip_prefix(prefix)));
    why.or_else(|| said().find(|line| !line.starts_with("note: "))).map(str::to_owned)
}

/// Why there is no embedded broker, or why it did not do what it was told.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// Its folder cannot be used.
    Folder(PathBuf, io::Error),
    /// Its process cannot be made.
    Io(io::Error),
    /// It ended while it was starting.
    Ended {
        /// How.
        status: ExitStatus,
        /// Why, in its own words, where it has said so.
        why: Option<String>,
        /// The file with its output.
        log: PathBuf,
    },
    /// It did not answer in time. Its output is in the file.
    NotReady(Duration, PathBuf),
    /// It did not carry out an order.
    Control(ControlError),
}

impl fmt::Display for EmbeddedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("cannot run the embedded broker"),
            Self::Folder(folder, _) => {
                write!(f, "the embedded broker cannot use its folder {}", folder.display())
            }
            Self::Ended { why: Some(why), log, .. } => {
                write!(f, "the embedded broker ended at start: {why} (its log is {})", log.display())
            }
            Self::Ended { status, why: None, log } => {
                write!(f, "the embedded broker ended at start ({}), see {}", in_words(*status), log.display())
            }
            Self::NotReady(after, log) => {
                write!(f, "the embedded broker takes no connections after {after:?}, see {}", log.display())
            }
            Self::Control(_) => f.write_str("the embedded broker did not carry out an order"),
        }
    }
}

impl std::error::Error for EmbeddedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Folder(_, error) | Self::Io(error) => Some(error),
            Self::Control(error) => Some(error),
            _ => None,
        }
    }
}
