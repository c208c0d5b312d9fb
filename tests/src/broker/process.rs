//! The embedded broker as a child process: what `cargo up` runs, and what the tests kill, stop and block.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::faults::{Control, ControlError, Order, socket_in};
use crate::ports;
use crate::rabbit::Server;
use crate::watched::{self, Keep, NotUp, Watched};

/// It starts within milliseconds; a busy machine, or one that reads a large file again, gets more.
const START: Duration = Duration::from_secs(60);

/// Its own time to write down what it has taken.
const SHUT_DOWN: Duration = Duration::from_secs(25);

/// An embedded broker of one's own, like [`crate::rabbit::Node`]. Dropping it kills it; so does the end of this process.
#[derive(Debug)]
pub struct EmbeddedNode {
    warren: PathBuf,
    folder: PathBuf,
    keep: Keep,
    vhosts: Vec<String>,
    queue_bytes: Option<u64>,
    port: u16,
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
        fs::create_dir_all(folder)?;
        Ok(Self {
            warren: warren.to_owned(),
            folder: fs::canonicalize(folder)?,
            keep,
            vhosts: vhosts.to_owned(),
            queue_bytes: None,
            port: ports::free(),
            process: Watched::default(),
        })
    }

    /// Blocks publishers beyond so many bytes of messages.
    #[must_use]
    pub fn queue_bytes(mut self, queue_bytes: u64) -> Self {
        self.queue_bytes = Some(queue_bytes);
        self
    }

    /// Prepares a broker and starts it.
    ///
    /// # Errors
    ///
    /// Those of [`EmbeddedNode::prepare`] and [`EmbeddedNode::start`].
    pub async fn start_new(
        warren: &Path,
        folder: &Path,
        keep: Keep,
        vhosts: &[String],
    ) -> Result<Self, EmbeddedError> {
        let node = Self::prepare(warren, folder, keep, vhosts)?;
        node.start().await?;
        Ok(node)
    }

    /// Starts it, for the first time or again on the same port and data, and waits until connections work.
    ///
    /// # Errors
    ///
    /// It ended, or takes no connections within a minute; both name the file that says why.
    pub async fn start(&self) -> Result<Server, EmbeddedError> {
        self.process.start(&mut self.command()?)?;
        self.process.until_up(self.address(), START).await.map_err(|error| match error {
            NotUp::Ended(status) => EmbeddedError::Ended(status, self.output()),
            NotUp::Silent => EmbeddedError::NotReady(START, self.output()),
        })
    }

    /// Where it listens for AMQP.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The AMQP URL of one of its virtual hosts, `/` among them.
    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@{}/{}", self.address(), vhost.replace('/', "%2f"))
    }

    /// Its process, where it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// How it ended, where it has ended by itself or by somebody else's hand since its last start.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// The folder of its log.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Ends it by signal 9 and returns when it is gone. Does nothing where it does not run.
    pub fn kill9(&self) {
        self.process.kill9();
    }

    /// Stops the process (SIGSTOP): its sockets stay open and answer nothing.
    pub fn stop(&self) {
        self.process.signal(Signal::STOP);
    }

    /// Continues the stopped process (SIGCONT).
    pub fn cont(&self) {
        self.process.signal(Signal::CONT);
    }

    /// Ends it the way an operator does (SIGTERM), by force after 25 s.
    pub async fn shut_down(&self) {
        self.process.shut_down(SHUT_DOWN).await;
    }

    /// Where it takes orders, among them every fault that it can be asked for.
    pub fn control(&self) -> Control {
        Control::at(&socket_in(&self.folder))
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
        fs::create_dir_all(self.logs())?;
        let output = OpenOptions::new().create(true).append(true).open(self.output())?;
        let throwaway = (self.keep == Keep::Nothing).then_some(self.folder.as_path());

        let mut command = watched::command(&self.warren, throwaway);
        command.args(["broker", "--port", &self.port.to_string(), "--data"]).arg(&self.folder);
        command.args(self.vhosts.iter().flat_map(|vhost| ["--vhost", vhost]));
        command
            .args(self.queue_bytes.iter().flat_map(|bytes| ["--queue-bytes".to_owned(), bytes.to_string()]));
        command.stdout(output.try_clone()?).stderr(output);
        Ok(command)
    }

    fn output(&self) -> PathBuf {
        self.logs().join("broker.log")
    }
}

impl Drop for EmbeddedNode {
    fn drop(&mut self) {
        self.kill9();
        // A test that fails keeps the broker's data and log with the rest.
        if self.keep == Keep::Nothing && !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
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
