//! The embedded broker as a child process: what `cargo up` runs, and what the tests kill, stop and block.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::time::Duration;

use super::faults::{Control, ControlError, Order, socket_in};
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
        let process = Watched::new(folder, keep)?;
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
    /// It ended, or takes no connections within a minute; both name the file that says why.
    pub async fn start(&self) -> Result<Server, EmbeddedError> {
        self.process.start(self.command()?).await.map_err(|error| match error {
            NotUp::Io(error) => EmbeddedError::Io(error),
            NotUp::Ended(status) => EmbeddedError::Ended(status, self.process.logs().join(OUTPUT)),
            NotUp::Silent(after) => EmbeddedError::NotReady(after, self.process.logs().join(OUTPUT)),
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

/// Why there is no embedded broker, or why it did not do what it was told.
#[derive(Debug)]
#[non_exhaustive]
pub enum EmbeddedError {
    /// Its folder or process cannot be made.
    Io(io::Error),
    /// It ended while it was starting. Its output is in the file.
    Ended(ExitStatus, PathBuf),
    /// It did not answer in time. Its output is in the file.
    NotReady(Duration, PathBuf),
    /// It did not carry out an order.
    Control(ControlError),
}

impl fmt::Display for EmbeddedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(_) => f.write_str("cannot run the embedded broker"),
            Self::Ended(status, log) => {
                write!(f, "the embedded broker ended at start ({status}), see {}", log.display())
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
            Self::Io(error) => Some(error),
            Self::Control(error) => Some(error),
            _ => None,
        }
    }
}

impl From<io::Error> for EmbeddedError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
