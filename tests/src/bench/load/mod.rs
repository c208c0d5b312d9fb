//! A closed or an open loop of HTTP/1.1 requests over connections that stay open.
//!
//! It runs as a process of its own (`warren bench-part load`): the job comes as JSON on standard input, the outcome goes
//! as JSON to standard output. Closed, each connection sends its next request when it has its answer, so the load is as fast as
//! the server. Open, requests are due at fixed times whatever the server does, and each one's latency counts from when it
//! was due, not from when a connection was free at last: nothing is left out of the percentiles.

mod connection;

mod run;
pub use run::run;

use std::collections::BTreeMap;
use std::env;
use std::io;
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt;

use super::process;

/// In a request, these are replaced by a number that no other request has.
pub const NUMBER: &str = "################";

/// What is to be sent, to whom and for how long.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Job {
    /// Where the server is.
    pub address: SocketAddr,
    /// How many connections are kept busy.
    pub connections: usize,
    /// The whole request, head and body. Each [`NUMBER`] in it becomes another one each time.
    pub request: String,
    /// What a 2xx answer must contain.
    pub expected: Expected,
    /// Requests a second in an open loop; as fast as the server is, where it is not given.
    pub rate: Option<f64>,
    /// How long before anything is measured.
    pub warm_up: Duration,
    /// How long is measured.
    pub time: Duration,
    /// How long an answer may take once the time is over; what has none then is lost.
    pub patience: Duration,
    /// Whose processor time is read at the beginning and the end of the measurement.
    pub watched: Vec<u32>,
}

/// What the body of a good answer is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Expected {
    /// Anything.
    Anything,
    /// This, to the byte.
    Text(String),
    /// Of this many bytes.
    Bytes(usize),
}

/// What became of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Outcome {
    /// Answers within the measured time that were as expected.
    pub served: u64,
    /// How long was really measured.
    pub seconds: f64,
    /// The processor time of those watched within that time.
    pub processor_nanos: Option<u64>,
    /// Half of the answers came within so many nanoseconds,
    pub p50: u64,
    /// 99 %,
    pub p99: u64,
    /// 99.9 %,
    pub p999: u64,
    /// and all.
    pub slowest: u64,
    /// Answers within the measured time that said when to come again: 429 or 503 with `Retry-After`.
    pub refused: u64,
    /// Half of those came within so many nanoseconds of the sending (not of when the request was due: more are due than
    /// there are connections, and that wait is the load's own),
    pub refused_p50: u64,
    /// and 99 %.
    pub refused_p99: u64,
    /// Requests without a good answer, refusals and the warm-up's included, by what was wrong.
    pub failed: BTreeMap<String, u64>,
}

impl Outcome {
    /// Requests a second.
    pub fn rate(&self) -> Option<f64> {
        (self.served > 0).then_some(self.served as f64 / self.seconds)
    }

    /// Processor time per request, in nanoseconds.
    pub fn cost(&self) -> Option<f64> {
        Some(self.processor_nanos? as f64 / self.served as f64).filter(|cost| cost.is_finite())
    }

    /// How many requests had no good answer.
    pub fn failures(&self) -> u64 {
        self.failed.values().sum()
    }
}

/// Does the job in a process of its own, on this core.
///
/// # Errors
///
/// The process could not be run, or failed; what the server does wrong is in the outcome.
pub(super) async fn run_apart(job: &Job, core: Option<usize>) -> io::Result<Outcome> {
    let mut command = process::command(env::current_exe()?, core)?;
    command.args(["bench-part", "load"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = tokio::process::Command::from(command).kill_on_drop(true).spawn()?;

    if let Some(mut stdin) = child.stdin.take() {
        stdin.write_all(&serde_json::to_vec(job)?).await?;
    }
    let output = child.wait_with_output().await?;
    if !output.status.success() {
        return Err(io::Error::other(format!("the load ended with {}", output.status)));
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// The other half of [`run_apart`].
pub(super) fn run_as_part() -> io::Result<()> {
    let job: Job = serde_json::from_reader(io::stdin().lock())?;
    serde_json::to_writer(io::stdout().lock(), &run(&job)?)?;
    Ok(())
}
