//! A broker's process, which ends with the one that started it, even when it is stopped and the other is killed.
//!
//! Standard input that ends is not enough for that: a stopped process does not read. So a shell stands beside it as its
//! watchdog.

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

use crate::ports;
use crate::rabbit::{Server, preflight};

/// A broker on a busy machine, or one that reads a large file again, starts within this, or never.
const START: Duration = Duration::from_secs(60);

/// A broker's own time to write down what it has taken and to close its queues.
const SHUT_DOWN: Duration = Duration::from_secs(25);

/// Becomes the program, so that its process id is the child's, after it has put a watchdog beside it.
///
/// The watchdog reads the pipe whose other end is held by us. Where the pipe ends without a word, we are dead: it kills
/// the program, stopped or not, and removes a throwaway folder. The word `gone` says that the program is already collected.
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
exec "$0" "$@" 3<&-
"#;

/// What happens to a broker's folder in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// It stays, and a broker of the same folder finds its queues again.
    Data,
    /// It is removed with the broker.
    Nothing,
}

/// A broker's folder, port and process, which runs or does not: it may be started again and again. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Watched {
    folder: PathBuf,
    keep: Keep,
    port: u16,
    running: Mutex<Option<Child>>,
}

/// Why a broker that was started takes no connections.
#[derive(Debug)]
pub(crate) enum NotUp {
    /// It cannot be run.
    Io(io::Error),
    /// It ended.
    Ended(ExitStatus),
    /// It said nothing for so long.
    Silent(Duration),
}

impl Watched {
    /// A broker that does not run yet, but whose address is known. All its state is in `folder`.
    ///
    /// # Errors
    ///
    /// `folder` cannot be written.
    pub fn new(folder: &Path, keep: Keep) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        let folder = fs::canonicalize(folder)?;
        Ok(Self { folder, keep, port: ports::free(), running: Mutex::default() })
    }

    /// The command that runs `program` with a watchdog, and what it prints into a file among the logs.
    pub fn command(&self, program: &Path, output: &str) -> io::Result<Command> {
        fs::create_dir_all(self.logs())?;
        let output = OpenOptions::new().create(true).append(true).open(self.logs().join(output))?;
        // It removes the folder when it has to kill the program.
        let throwaway = if self.keep == Keep::Nothing { self.folder.as_path() } else { Path::new("") };

        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(SCRIPT).arg(program).env("THROWAWAY", throwaway).process_group(0);
        command.stdin(Stdio::piped()).stdout(output.try_clone()?).stderr(output);
        Ok(command)
    }

    /// Runs the program of a [`Watched::command`], ends the one that runs, and waits until connections work.
    pub async fn start(&self, mut command: Command) -> Result<Server, NotUp> {
        self.kill9();
        *self.running() = Some(command.spawn().map_err(NotUp::Io)?);

        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match preflight(self.address()).await {
                Ok(server) => return Ok(server),
                Err(_) if started.elapsed() > START => return Err(NotUp::Silent(START)),
                Err(_) => sleep(pause).await,
            }
            if let Some(status) = self.exit_status() {
                return Err(NotUp::Ended(status));
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
    }

    /// Where everything of it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The folder of its logs.
    pub fn logs(&self) -> PathBuf {
        self.folder.join("log")
    }

    /// Its port for AMQP, on the loopback interface.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it listens for AMQP.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// The AMQP URL of one of its virtual hosts, `/` among them.
    pub fn url(&self, vhost: &str) -> String {
        format!("amqp://guest:guest@{}/{}", self.address(), vhost.replace('/', "%2f"))
    }

    /// Its process, where it runs or has ended by itself.
    pub fn pid(&self) -> Option<u32> {
        self.running().as_ref().map(Child::id)
    }

    /// How it ended, where it has ended by itself or by somebody else's hand since its last start.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        let mut running = self.running();
        let child = running.as_mut()?;
        let status = child.try_wait().ok().flatten()?;
        dismiss_watchdog(child);
        Some(status)
    }

    /// Ends it by signal 9 and returns when it is gone. Does nothing where it does not run.
    pub fn kill9(&self) {
        if let Some(mut child) = self.running().take() {
            let _ = child.kill();
            dismiss_watchdog(&mut child);
            let _ = child.wait();
        }
    }

    /// Ends it by SIGTERM, or by force where that takes too long.
    pub async fn shut_down(&self) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while self.pid().is_some() && self.exit_status().is_none() && asked.elapsed() < SHUT_DOWN {
            sleep(Duration::from_millis(20)).await;
        }
        self.kill9();
    }

    /// Sends a signal, where it runs.
    pub fn signal(&self, signal: Signal) {
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

impl Drop for Watched {
    fn drop(&mut self) {
        self.kill9();
        // A test that fails keeps the broker's data and logs with the rest.
        if self.keep == Keep::Nothing && !thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// Tells the watchdog that its program is dead. Once the program is collected, its process id may be somebody else's.
fn dismiss_watchdog(child: &mut Child) {
    if let Some(mut watchdog) = child.stdin.take() {
        let _ = watchdog.write_all(b"gone\n");
    }
}
