//! One node's life: start, kill, stop and continue, block, start again.

use std::fs::{self, OpenOptions};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::Signal;

use super::settings::{Settings, definitions_of};
use super::{Installation, RabbitError, Server};
use crate::ports;
use crate::watched::{self, Keep, NotUp, Watched};

/// A node on a busy machine starts within this, or never.
const START: Duration = Duration::from_secs(60);

/// RabbitMQ's own time to close its queues.
const SHUT_DOWN: Duration = Duration::from_secs(25);

/// A private RabbitMQ node. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    installation: Installation,
    scripts: Option<PathBuf>,
    folder: PathBuf,
    keep: Keep,
    port: u16,
    dist_port: u16,
    process: Watched,
}

impl Node {
    /// Prepares a node whose ports and address are known, but which does not run yet.
    ///
    /// All state is in `folder`. Besides `/` it has the virtual hosts named here.
    ///
    /// # Errors
    ///
    /// RabbitMQ is not installed, or `folder` cannot be written.
    pub fn prepare(folder: &Path, keep: Keep, vhosts: &[String]) -> Result<Self, RabbitError> {
        let installation = Installation::find()?;
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        let (port, dist_port) = (ports::free(), ports::free());

        Settings { folder: &folder, port, dist_port }.write(vhosts)?;
        let scripts = installation.without_plugins(&folder.join("installation"));
        Ok(Self { installation, scripts, folder, keep, port, dist_port, process: Watched::default() })
    }

    /// Prepares a node and starts it.
    ///
    /// # Errors
    ///
    /// Those of [`Node::prepare`] and [`Node::start`].
    pub async fn start_new(folder: &Path, keep: Keep, vhosts: &[String]) -> Result<Self, RabbitError> {
        let node = Self::prepare(folder, keep, vhosts)?;
        node.start().await?;
        Ok(node)
    }

    /// Starts the node, for the first time or again on the same ports and data, and waits until connections work.
    ///
    /// # Errors
    ///
    /// It ended, or takes no connections within a minute; both name the file that says why.
    pub async fn start(&self) -> Result<Server, RabbitError> {
        self.process.start(&mut self.command()?)?;
        self.process.until_up(self.address(), START).await.map_err(|error| match error {
            NotUp::Ended(status) => RabbitError::Ended(status, self.output()),
            NotUp::Silent => RabbitError::NotReady(START, self.output()),
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

    /// The node's process, where it runs.
    pub fn pid(&self) -> Option<u32> {
        self.process.pid()
    }

    /// How the node ended, where it has ended by itself or by somebody else's hand since its last start.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.process.exit_status()
    }

    /// The folder of its logs.
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

    /// Raises the memory alarm, which blocks every connection that publishes.
    ///
    /// # Errors
    ///
    /// Those of [`Node::ctl`].
    pub async fn block_publishers(&self) -> Result<(), RabbitError> {
        self.ctl(&["set_vm_memory_high_watermark", "0.000001"]).await.map(drop)
    }

    /// Clears the memory alarm.
    ///
    /// # Errors
    ///
    /// Those of [`Node::ctl`].
    pub async fn unblock_publishers(&self) -> Result<(), RabbitError> {
        self.ctl(&["set_vm_memory_high_watermark", "0.4"]).await.map(drop)
    }

    /// Makes more virtual hosts, many in one call because the call itself takes the time.
    ///
    /// # Errors
    ///
    /// Those of [`Node::ctl`], or the node's folder cannot be written.
    pub async fn add_vhosts(&self, vhosts: &[String]) -> Result<(), RabbitError> {
        let file = self.folder.join("more-definitions.json");
        fs::write(&file, definitions_of(vhosts))?;
        self.ctl(&["import_definitions", &file.to_string_lossy()]).await.map(drop)
    }

    /// Runs `rabbitmqctl` on this node and returns what it printed. Takes one to two seconds.
    ///
    /// # Errors
    ///
    /// It cannot be run, or did not succeed.
    pub async fn ctl(&self, arguments: &[&str]) -> Result<String, RabbitError> {
        let mut command = Command::new(self.installation.ctl());
        command.arg("--quiet").args(arguments).stdin(Stdio::null());
        self.settings().ctl(&mut command);

        let output = tokio::process::Command::from(command).kill_on_drop(true).output().await?;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            Ok(text(&output.stdout))
        } else {
            Err(RabbitError::Ctl(text(&output.stdout) + &text(&output.stderr)))
        }
    }

    fn command(&self) -> io::Result<Command> {
        let output = OpenOptions::new().create(true).append(true).open(self.output())?;
        let throwaway = (self.keep == Keep::Nothing).then_some(self.folder.as_path());

        let mut command = watched::command(&self.installation.server(), throwaway);
        self.settings().server(&mut command, self.scripts.as_deref());
        command.stdout(output.try_clone()?).stderr(output);
        Ok(command)
    }

    fn settings(&self) -> Settings<'_> {
        Settings { folder: &self.folder, port: self.port, dist_port: self.dist_port }
    }

    /// What it prints before its own log opens, and when that fails.
    fn output(&self) -> PathBuf {
        self.logs().join("output.log")
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.kill9();
        // A test that fails keeps the node's logs with the rest of its data.
        if self.keep == Keep::Nothing && !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}
