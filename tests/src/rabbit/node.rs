//! One node's life: start, kill, stop and continue, block, start again.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use super::settings::{Settings, definitions_of};
use super::{Installation, RabbitError, Server, preflight};
use crate::ports;

/// A node on a busy machine starts within this, or never.
const START: Duration = Duration::from_secs(60);

/// RabbitMQ's own time to close its queues.
const SHUT_DOWN: Duration = Duration::from_secs(25);

/// Becomes the node, so that its process id is the child's, after it has put a watchdog beside it.
///
/// The watchdog reads the pipe whose other end is held by us. Where the pipe ends without a word, we are dead: it kills
/// the node, stopped or not, and removes a throwaway folder. The word `gone` says that the node is already collected.
const SCRIPT: &str = r#"
exec 3<&0 </dev/null
(
    trap '' HUP INT TERM
    word=
    while read -r line <&3; do word=$line; done
    [ "$word" = gone ] && exit
    kill -KILL $$
    [ -n "$THROWAWAY" ] || exit
    for try in 1 2 3 4 5 6 7 8 9; do kill -0 $$ && sleep 0.1; done
    rm -rf "$THROWAWAY"
) >/dev/null 2>&1 &
exec "$0" 3<&-
"#;

/// What happens to a node's folder in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It stays, and a node of the same folder finds its queues again.
    Data,
    /// It is removed with the node.
    Nothing,
}

/// A private RabbitMQ node. Dropping it kills it.
#[derive(Debug)]
pub struct Node {
    installation: Installation,
    scripts: Option<PathBuf>,
    folder: PathBuf,
    keep: Keep,
    port: u16,
    dist_port: u16,
    running: Mutex<Option<Child>>,
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
        Ok(Self { installation, scripts, folder, keep, port, dist_port, running: Mutex::new(None) })
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
        self.kill9();
        *self.running() = Some(self.spawn()?);

        let started = Instant::now();
        loop {
            match preflight(self.address()).await {
                Ok(server) => return Ok(server),
                Err(_) if started.elapsed() > START => {
                    return Err(RabbitError::NotReady(START, self.output()));
                }
                Err(_) => sleep(Duration::from_millis(20)).await,
            }
            if let Some(status) = self.exit_status() {
                return Err(RabbitError::Ended(status, self.output()));
            }
        }
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
        self.running().as_ref().map(Child::id)
    }

    /// How the node ended, where it has ended by itself or by somebody else's hand since its last start.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let mut running = self.running();
        let child = running.as_mut()?;
        let status = child.try_wait().ok().flatten()?;
        dismiss_watchdog(child);
        Some(status)
    }

    /// The folder of its logs.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Ends it by signal 9 and returns when it is gone. Does nothing where it does not run.
    pub fn kill9(&self) {
        if let Some(mut child) = self.running().take() {
            let _ = child.kill();
            dismiss_watchdog(&mut child);
            let _ = child.wait();
        }
    }

    /// Stops the process (SIGSTOP): its sockets stay open and answer nothing.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues the stopped process (SIGCONT).
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it the way an operator does (SIGTERM), by force after 25 s.
    pub async fn shut_down(&self) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while self.pid().is_some() && self.exit_status().is_none() && asked.elapsed() < SHUT_DOWN {
            sleep(Duration::from_millis(20)).await;
        }
        self.kill9();
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

    fn spawn(&self) -> io::Result<Child> {
        let output = OpenOptions::new().create(true).append(true).open(self.output())?;
        let throwaway = if self.keep == Keep::Nothing { self.folder.as_path() } else { Path::new("") };

        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg(self.installation.server());
        command.env("THROWAWAY", throwaway);
        self.settings().server(&mut command, self.scripts.as_deref());
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        command.process_group(0).spawn()
    }

    fn settings(&self) -> Settings<'_> {
        Settings { folder: &self.folder, port: self.port, dist_port: self.dist_port }
    }

    /// What it prints before its own log opens, and when that fails.
    fn output(&self) -> PathBuf {
        self.logs().join("output.log")
    }

    fn signal(&self, signal: Signal) {
        if let Some(child) = self.running().as_mut()
            && let Ok(None) = child.try_wait()
        {
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }

    fn running(&self) -> MutexGuard<'_, Option<Child>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Tells the watchdog that its node is dead. Once the node is collected, its process id may be somebody else's.
fn dismiss_watchdog(child: &mut Child) {
    if let Some(mut watchdog) = child.stdin.take() {
        let _ = watchdog.write_all(b"gone\n");
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
