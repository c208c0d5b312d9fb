//! One node's life: start, kill, stop and continue, block, start again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::settings::{Settings, definitions_of};
use super::{Installation, RabbitError, Server};
use crate::ports;
use crate::watched::{Keep, NotUp, Watched};

/// What it prints before its own log opens, and when that fails.
const OUTPUT: &str = "output.log";

/// How often a node that says nothing is started again: RabbitMQ 3.10 was seen to hang for good while it loads its
/// definitions, once in some hundreds of starts.
const HANGS: u32 = 1;

/// A private RabbitMQ node. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    installation: Installation,
    scripts: Option<PathBuf>,
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
        let process = Watched::new(folder, keep)?;
        let scripts = installation.without_plugins(&process.folder().join("installation"));
        let node = Self { installation, scripts, dist_port: ports::free(), process };
        node.settings().write(vhosts)?;
        Ok(node)
    }

    /// Starts the node, for the first time or again on the same ports and data, and waits until connections work.
    ///
    /// # Errors
    ///
    /// It ended, or took no connections within a minute, twice; both name the file that says why.
    pub async fn start(&self) -> Result<Server, RabbitError> {
        let mut hung = 0;
        loop {
            let mut command = self.process.command(&self.installation.server(), OUTPUT)?;
            self.settings().server(&mut command, self.scripts.as_deref());
            let output = || self.process.logs().join(OUTPUT);
            match self.process.start(command).await {
                Ok(server) => return Ok(server),
                Err(NotUp::Silent(_)) if hung < HANGS => hung += 1,
                Err(NotUp::Silent(after)) => return Err(RabbitError::NotReady(after, output())),
                Err(NotUp::Ended(status)) => return Err(RabbitError::Ended(status, output())),
                Err(NotUp::Io(error)) => return Err(RabbitError::Io(error)),
            }
        }
    }

    /// Its folder, port and process.
    pub(crate) fn process(&self) -> &Watched {
        &self.process
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
        let file = self.process.folder().join("more-definitions.json");
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

    fn settings(&self) -> Settings<'_> {
        Settings { folder: self.process.folder(), port: self.process.port(), dist_port: self.dist_port }
    }
}
