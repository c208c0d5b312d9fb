//! Keeps one service running: starts it, passes its lines on, brings it back when it dies, drains it in the end.

use std::io;
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use common::service::MISCONFIGURED;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, ChildStdin, Command};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use super::screen::{Screen, Voice};
use crate::last_end::{LastEnd, in_words};
use crate::service::Service;

/// How long a service may drain; it gives itself a second less.
const DRAIN: Duration = Duration::from_secs(25);

/// The pause before the first attempt; it doubles with every run that was short, up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// How long the last line of a process that has ended may take to be read.
const LAST_LINE: Duration = Duration::from_secs(1);

/// A run of this length was a good one.
const LONG_RUN: Duration = Duration::from_secs(5);

/// How one service is run.
pub(super) struct Keeper {
    pub service: Service,
    pub warren: PathBuf,
    pub environment: Vec<(&'static str, String)>,
    pub screen: Screen,
    /// How often it has ended by itself.
    pub ends: Arc<AtomicU32>,
    /// Hears of it when it could not use its environment, which no further attempt would change.
    pub misconfigured: mpsc::UnboundedSender<Misconfigured>,
}

/// A service that cannot use its environment.
#[derive(Debug)]
pub(super) struct Misconfigured {
    pub service: Service,
    /// What is wrong with it, in its own words.
    pub mistakes: String,
}

/// A process of it.
struct Running {
    child: Child,
    /// It lives no longer than this pipe.
    alive: Option<ChildStdin>,
    /// The last line on its standard error, once that is closed.
    last_line: JoinHandle<String>,
}

impl Keeper {
    /// Runs the service again and again until `drain` says that this is the end, or it is misconfigured; returns once it
    /// has ended.
    pub async fn run(self, mut drain: watch::Receiver<bool>) {
        let mut pause = FIRST_PAUSE;
        let (mut died, mut last) = (false, None);

        while !*drain.borrow() {
            let begun = Instant::now();
            let ended = match self.spawn(last.as_ref()) {
                Ok(mut running) => {
                    let pid = running.child.id().unwrap_or_default();
                    self.say(format_args!(
                        "{} {} process {pid}",
                        self.service,
                        if died { "is back as" } else { "runs as" }
                    ));
                    match self.wait(&mut running.child, &mut drain).await {
                        Some(Ok(status)) if status.code() == Some(MISCONFIGURED.into()) => {
                            return self.give_up(running.last_line).await;
                        }
                        Some(ended) => {
                            last =
                                ended.as_ref().ok().and_then(|status| LastEnd::of(*status, Timestamp::now()));
                            format!("(process {pid}) ended: {}", told(ended))
                        }
                        None => return self.stop(running).await,
                    }
                }
                Err(error) => format!("cannot be run: {error}"),
            };

            died = true;
            self.ends.fetch_add(1, Ordering::Relaxed);
            pause = if begun.elapsed() >= LONG_RUN { FIRST_PAUSE } else { pause };
            self.say(format_args!("{} {ended}; starting it again in {pause:?}", self.service));
            tokio::select! {
                () = sleep(pause) => {}
                _ = drain.changed() => {}
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Starts it, and tells it how the one before it ended.
    fn spawn(&self, last: Option<&LastEnd>) -> io::Result<Running> {
        let mut command = self.service.command(&self.warren);
        LastEnd::tell(last, &mut command);
        let mut command = Command::from(command);
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;

        let (screen, voice) = (self.screen, Voice::of(self.service));
        if let Some(output) = child.stdout.take() {
            tokio::spawn(screen.pass_on(voice, output));
        }
        let errors = child.stderr.take();
        let last_line = tokio::spawn(async move {
            match errors {
                Some(output) => screen.pass_on(voice, output).await,
                None => String::new(),
            }
        });
        let alive = child.stdin.take();
        Ok(Running { child, alive, last_line })
    }

    /// Returns how it ended, or `None` when the drain began before.
    async fn wait(
        &self,
        child: &mut Child,
        drain: &mut watch::Receiver<bool>,
    ) -> Option<io::Result<ExitStatus>> {
        tokio::select! {
            ended = child.wait() => Some(ended),
            _ = drain.wait_for(|is_draining| *is_draining) => None,
        }
    }

    /// Passes on why it cannot use its environment, which is the last that it said.
    async fn give_up(self, last_line: JoinHandle<String>) {
        let said = timeout(LAST_LINE, last_line).await.ok().and_then(Result::ok).unwrap_or_default();
        let prefix = format!("{} cannot start: ", self.service);
        let mistakes = said.strip_prefix(&prefix).unwrap_or(&said).to_owned();
        let _ = self.misconfigured.send(Misconfigured { service: self.service, mistakes });
    }

    async fn stop(&self, Running { mut child, alive: _alive, .. }: Running) {
        if let Some(pid) = child.id().and_then(|pid| Pid::from_raw(pid.cast_signed())) {
            let _ = kill_process(pid, Signal::TERM);
        }
        let service = self.service;
        match timeout(DRAIN, child.wait()).await {
            // It does not catch the signal before it has begun to serve.
            Ok(Ok(status)) if status.signal() == Some(Signal::TERM.as_raw()) => {
                self.say(format_args!("{service} stopped while it started"));
            }
            Ok(Ok(status)) if status.success() => self.say(format_args!("{service} drained: in order")),
            Ok(ended) => self.say(format_args!("{service} did not drain: {}", told(ended))),
            Err(_) => {
                self.say(format_args!("{service} did not drain within {DRAIN:?} and is killed"));
                let _ = child.kill().await;
            }
        }
    }

    fn say(&self, line: std::fmt::Arguments<'_>) {
        self.screen.say(Voice::LAUNCHER, line);
    }
}

fn told(ended: io::Result<ExitStatus>) -> String {
    ended.map_or_else(|error| format!("nobody knows how, {error}"), in_words)
}
