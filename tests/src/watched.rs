//! A broker's process, which ends with the one that started it, even when it is stopped and the other is killed.
//!
//! Standard input that ends is not enough for that: a stopped process does not read. So a shell stands beside it as its
//! watchdog.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::sleep;

use crate::rabbit::{Server, preflight};

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

/// A program with a watchdog, or none: it may be started again and again. Dropping it kills it.
#[derive(Debug, Default)]
pub(crate) struct Watched(Mutex<Option<Child>>);

/// Why a broker that was started takes no connections.
#[derive(Debug)]
pub(crate) enum NotUp {
    /// It ended.
    Ended(ExitStatus),
    /// It says nothing.
    Silent,
}

/// The command that runs `program` with a watchdog, which removes `throwaway` when it has to kill the program.
pub(crate) fn command(program: &Path, throwaway: Option<&Path>) -> Command {
    let mut command = Command::new("/bin/sh");
    command.arg("-c").arg(SCRIPT).arg(program).stdin(Stdio::piped()).process_group(0);
    command.env("THROWAWAY", throwaway.unwrap_or(Path::new("")));
    command
}

impl Watched {
    /// Starts the program by what [`command`] gave, and ends the one that runs.
    pub fn start(&self, command: &mut Command) -> io::Result<()> {
        self.kill9();
        *self.running() = Some(command.spawn()?);
        Ok(())
    }

    /// Waits until it takes AMQP connections at this address.
    pub async fn until_up(&self, address: SocketAddr, deadline: Duration) -> Result<Server, NotUp> {
        let started = Instant::now();
        let mut pause = Duration::from_millis(1);
        loop {
            match preflight(address).await {
                Ok(server) => return Ok(server),
                Err(_) if started.elapsed() > deadline => return Err(NotUp::Silent),
                Err(_) => sleep(pause).await,
            }
            if let Some(status) = self.exit_status() {
                return Err(NotUp::Ended(status));
            }
            pause = (pause * 2).min(Duration::from_millis(20));
        }
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
    pub async fn shut_down(&self, patience: Duration) {
        self.signal(Signal::TERM);
        let asked = Instant::now();
        while self.pid().is_some() && self.exit_status().is_none() && asked.elapsed() < patience {
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// Tells the watchdog that its program is dead. Once the program is collected, its process id may be somebody else's.
fn dismiss_watchdog(child: &mut Child) {
    if let Some(mut watchdog) = child.stdin.take() {
        let _ = watchdog.write_all(b"gone\n");
    }
}
