//! One service as a child process: what a test does to it, and what it can see of it from outside.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::eventually;
use crate::http::Http;
use crate::last_end::LastEnd;
use crate::service::Service;

/// A service starts within a second; a busy machine gets more.
const READY: Duration = Duration::from_secs(30);

/// How long a process may take to end after SIGTERM.
const DRAIN: Duration = Duration::from_secs(25);

/// One service of a [`super::System`].
pub struct Child {
    service: Service,
    warren: PathBuf,
    environment: Mutex<BTreeMap<String, String>>,
    log: PathBuf,
    port: u16,
    /// Its public port.
    pub http: Http,
    /// Where it serves `/metrics` and `/actors`: the same port, but another one in the gateway.
    pub internal: Http,
    running: Mutex<Option<process::Child>>,
    /// How the process before ended, where it was not in order.
    last_end: Mutex<Option<LastEnd>>,
}

impl Child {
    pub(super) fn new(
        service: Service,
        warren: &Path,
        environment: BTreeMap<String, String>,
        log: PathBuf,
        (port, internal_port): (u16, u16),
    ) -> Self {
        let client = |port| Http::new(format!("http://127.0.0.1:{port}"));
        Self {
            service,
            warren: warren.to_owned(),
            environment: Mutex::new(environment),
            log,
            port,
            http: client(port),
            internal: client(internal_port),
            running: Mutex::new(None),
            last_end: Mutex::new(None),
        }
    }

    /// Which one it is.
    pub fn service(&self) -> Service {
        self.service
    }

    /// Its public port, the same after every restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Changes its environment from the next start on.
    pub fn set_env(&self, name: &str, value: &str) {
        lock(&self.environment).insert(name.into(), value.into());
    }

    /// Starts it on the same port, data and log, and returns at once. Ends it by signal 9 first where it still runs.
    ///
    /// # Panics
    ///
    /// When the binary cannot be run.
    pub fn start(&self) {
        self.kill9();

        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .expect("the test's folder can be written");
        let output = log.try_clone().expect("a file can be opened twice");
        let mut command = self.service.command(&self.warren);
        LastEnd::tell(lock(&self.last_end).as_ref(), &mut command);
        command.envs(lock(&self.environment).iter()).stdout(output).stderr(log);
        let child =
            command.spawn().unwrap_or_else(|error| panic!("cannot run {}: {error}", self.warren.display()));

        *self.running() = Some(child);
    }

    /// Starts it again and waits until it is ready.
    ///
    /// # Panics
    ///
    /// Those of [`Child::start`] and [`Child::wait_ready`].
    pub async fn restart(&self) {
        self.start();
        self.wait_ready().await;
    }

    /// Waits until it answers `GET /health/ready` with 200, which it also does degraded.
    ///
    /// # Panics
    ///
    /// When it ended, or is not ready within 30 s.
    pub async fn wait_ready(&self) {
        self.wait_readiness("it is ready", |status, _| status == StatusCode::OK).await;
    }

    /// Waits until it is ready and not degraded, that is, has its broker.
    ///
    /// # Panics
    ///
    /// When it ended, or is not ready within 30 s.
    pub async fn wait_not_degraded(&self) {
        let whole = |status, body: &str| status == StatusCode::OK && body.contains("\"ready\"");
        self.wait_readiness("it is ready and not degraded", whole).await;
    }

    async fn wait_readiness(&self, what: &str, is_reached: impl Fn(StatusCode, &str) -> bool) {
        eventually(READY, &format!("{}: {what}", self.service), async || {
            if let Some(status) = self.exit_status() {
                panic!("{} ended while it was waited for: {status}", self.service);
            }
            let answer = self.http.get("/health/ready").deadline(Duration::from_secs(2)).send().await;
            let answer = answer.map_err(|error| error.to_string())?;
            if is_reached(answer.status, &answer.text()) { Ok(()) } else { Err(answer.to_string()) }
        })
        .await;
    }

    /// Its process.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn pid(&self) -> u32 {
        self.running()
            .as_ref()
            .map(process::Child::id)
            .unwrap_or_else(|| panic!("{} does not run", self.service))
    }

    /// How it ended, where it has ended by itself since its last start.
    pub fn exit_status(&self) -> Option<ExitStatus> {
        self.running().as_mut().and_then(|child| child.try_wait().ok().flatten())
    }

    /// Whether it was started and has not ended.
    pub fn is_running(&self) -> bool {
        self.running().as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Ends it by signal 9 and returns when it is gone. Does nothing where it does not run.
    pub fn kill9(&self) {
        if let Some(mut child) = self.running().take() {
            let _ = child.kill();
            let ended = child.wait().ok();
            *lock(&self.last_end) = ended.and_then(|status| LastEnd::of(status, Timestamp::now()));
        }
    }

    /// Asks it to end (SIGTERM) and returns how it did.
    ///
    /// # Panics
    ///
    /// When it does not run, or still does after 25 s.
    pub async fn terminate(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        let status = self.ended(DRAIN).await;
        self.running().take();
        *lock(&self.last_end) = LastEnd::of(status, Timestamp::now());
        status
    }

    /// Waits until it ends by itself.
    ///
    /// # Panics
    ///
    /// When it was not started, or does not end in time.
    pub async fn ended(&self, deadline: Duration) -> ExitStatus {
        let pid = self.pid();
        eventually(deadline, &format!("{} (process {pid}) ends", self.service), async || {
            self.exit_status().ok_or("it still runs")
        })
        .await
    }

    /// Stops the process (SIGSTOP): its sockets stay open and answer nothing.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
    }

    /// Continues the stopped process (SIGCONT).
    pub fn cont(&self) {
        self.signal(Signal::CONT);
    }

    /// Sends a signal.
    ///
    /// # Panics
    ///
    /// When it does not run.
    pub fn signal(&self, signal: Signal) {
        match self.running().as_ref() {
            Some(child) => kill_process(Pid::from_child(child), signal)
                .expect("a child that is not collected has a process"),
            None => panic!("{} does not run", self.service),
        }
    }

    /// How many threads its process has.
    pub fn threads(&self) -> u64 {
        self.proc_status("Threads:")
    }

    /// How many descriptors its process has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(format!("/proc/{}/fd", self.pid())).expect("the process runs").count()
    }

    /// Its resident memory, in KiB.
    pub fn resident_kib(&self) -> u64 {
        self.proc_status("VmRSS:")
    }

    /// The most resident memory that its process ever had, in KiB.
    pub fn peak_resident_kib(&self) -> u64 {
        self.proc_status("VmHWM:")
    }

    fn proc_status(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|rest| rest.split_whitespace().next()?.parse().ok())
            .expect("the kernel gives this field")
    }

    /// The sum of a metric's samples over all labels, from `GET /metrics`; `None` where it has no sample, or the process
    /// does not answer.
    pub async fn metric(&self, name: &str) -> Option<f64> {
        let answer = self.internal.get("/metrics").deadline(Duration::from_secs(5)).send().await.ok()?;
        answer.status.is_success().then(|| sum_of_samples(&answer.text(), name)).flatten()
    }

    /// What `GET /actors` answers, the observed states for one, and under `timeline` the incidents of `GET /timeline`,
    /// oldest first.
    pub async fn actors(&self) -> Value {
        let mut report = self.internal.get("/actors").await.expect(200).json();
        let mut timeline = self.internal.get("/timeline?limit=1000").await.expect(200).json()["items"].take();
        timeline.as_array_mut().expect("a list").reverse();
        report["timeline"] = timeline;
        report
    }

    /// All that it has logged since its first start.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Whether a line of its log contains `text`.
    pub fn log_contains(&self, text: &str) -> bool {
        self.log_count(text) > 0
    }

    /// How many lines of its log contain `text`.
    pub fn log_count(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    pub(super) fn print_log_tail(&self) {
        const LINES: usize = 40;
        let log = self.log();
        let skip = log.lines().count().saturating_sub(LINES);
        eprintln!("--- {}, the last lines of {}", self.service, self.log.display());
        log.lines().skip(skip).for_each(|line| eprintln!("{line}"));
    }

    fn running(&self) -> MutexGuard<'_, Option<process::Child>> {
        lock(&self.running)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        self.kill9();
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads Prometheus' text format: `name{labels} value`.
fn sum_of_samples(metrics: &str, name: &str) -> Option<f64> {
    let samples = metrics.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        rest.starts_with(['{', ' ']).then(|| rest.rsplit(' ').next()?.parse::<f64>().ok()).flatten()
    });
    samples.reduce(|sum, value| sum + value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_one_metric_are_summed_over_their_labels() {
        let text = "# TYPE a gauge\na{x=\"1 2\"} 3\na{x=\"b\"} 4.5\nab 9\nempty 0\n";

        assert_eq!(sum_of_samples(text, "a"), Some(7.5));
        assert_eq!(sum_of_samples(text, "empty"), Some(0.0));
        assert_eq!(sum_of_samples(text, "b"), None);
    }
}
