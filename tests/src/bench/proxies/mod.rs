//! What a proxied request costs: the gateway beside nginx and haproxy, in front of the same upstream, under the same load.
//!
//! Figures of one machine say little and those of two machines together say nothing, so contestants take turns within
//! each round, in an order that changes, and what counts is the ratio within a round. Each run is a fresh process, so that its
//! memory is its own.

mod scenario;
pub use scenario::Scenario;

mod contestant;
pub use contestant::Contestant;

mod report;

use std::env;
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::time::sleep;

use super::cores::Cores;
use super::load::{self, Job, Outcome};
use super::process::{self, Process};
use super::say;
use super::usage::{family, peak_memory_kib};
use super::{table, token};
use crate::harness::Folder;
use crate::http::Http;
use crate::ports;
use report::Report;

/// How long a proxy may take until it serves.
const START: Duration = Duration::from_secs(15);

/// How long a last answer may take. Whatever has none then has been lost.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is compared, and how long.
#[derive(Clone, Debug)]
pub struct Comparison {
    /// Who takes part.
    pub contestants: Vec<Contestant>,
    /// What they are asked.
    pub scenarios: Vec<Scenario>,
    /// How often each does each.
    pub rounds: usize,
    /// Before each measurement.
    pub warm_up: Duration,
    /// Of each measurement.
    pub time: Duration,
}

/// One contestant in one scenario of one round.
#[derive(Clone, Debug)]
struct Run {
    outcome: Outcome,
    peak_memory_kib: u64,
}

/// What all contestants have in common.
struct Arena {
    cores: Cores,
    folder: Folder,
    upstream: u16,
    _upstream: Process,
}

impl Comparison {
    /// Runs all rounds and returns the tables.
    ///
    /// # Errors
    ///
    /// The upstream or the load cannot be run. A contestant that cannot is said so in its row.
    pub async fn run(&self, cores: Cores) -> io::Result<String> {
        let arena = Arena::open(cores).await?;
        let mut report = Report::new(&self.contestants, &self.scenarios);

        for round in 0..self.rounds {
            for &scenario in &self.scenarios {
                for contestant in in_turn(&self.contestants, round) {
                    if !contestant.takes_part_in(scenario) {
                        continue;
                    }
                    if contestant.version().is_none() {
                        report.miss(contestant, scenario, "not installed".to_owned());
                        continue;
                    }
                    let tell = |figures: &str| {
                        let (of, scenario, contestant) = (self.rounds, scenario.name, contestant.name());
                        say(format_args!(
                            "round {} of {of}: {scenario:<28}  {contestant:<20}  {figures}",
                            round + 1
                        ));
                    };
                    match arena.run(contestant, scenario, self.warm_up, self.time).await {
                        Ok(run) => {
                            tell(&in_short(&run.outcome));
                            report.add(contestant, scenario, run);
                        }
                        Err(error) => {
                            tell(&error.to_string());
                            report.miss(contestant, scenario, error.to_string());
                        }
                    }
                }
            }
        }
        Ok(report.to_string())
    }
}

/// Keeps one contestant under load for a while, so that a profiler can look at it.
///
/// # Errors
///
/// One of the processes cannot be run.
pub async fn hold(
    contestant: Contestant,
    scenario: Scenario,
    time: Duration,
    cores: Cores,
) -> io::Result<()> {
    let arena = Arena::open(cores).await?;
    let (mut process, address) = contestant.start(arena.upstream, cores, arena.folder.path())?;
    wait_until_it_serves(&mut process, address).await?;
    let pids = family(process.pid());

    let names: Vec<String> = pids.iter().map(u32::to_string).collect();
    println!(
        "{}: process {} at {address}, {} for {time:?}",
        contestant.name(),
        names.join(" and "),
        scenario.name
    );
    let outcome = arena.load(contestant, scenario, address, &pids, Duration::ZERO, time).await?;
    println!("{}", in_short(&outcome));
    Ok(())
}

impl Arena {
    async fn open(cores: Cores) -> io::Result<Self> {
        let upstream = ports::free();
        let mut command = process::command(env::current_exe()?, cores.load)?;
        command.args(["bench-part", "upstream", "--port", &upstream.to_string()]);
        let mut process = Process::start(command)?;
        wait_until_it_serves(&mut process, ([127, 0, 0, 1], upstream).into()).await?;
        Ok(Self { cores, folder: Folder::new(), upstream, _upstream: process })
    }

    async fn run(
        &self,
        contestant: Contestant,
        scenario: Scenario,
        warm_up: Duration,
        time: Duration,
    ) -> io::Result<Run> {
        let (mut process, address) = contestant.start(self.upstream, self.cores, self.folder.path())?;
        wait_until_it_serves(&mut process, address).await?;
        let pids = family(process.pid());

        let outcome = self.load(contestant, scenario, address, &pids, warm_up, time).await?;
        Ok(Run { outcome, peak_memory_kib: peak_memory_kib(&pids)? })
    }

    async fn load(
        &self,
        contestant: Contestant,
        scenario: Scenario,
        address: SocketAddr,
        pids: &[u32],
        warm_up: Duration,
        time: Duration,
    ) -> io::Result<Outcome> {
        let job = Job {
            address,
            connections: scenario.connections,
            request: scenario.request(contestant.wants_token()),
            expected: scenario.expected(),
            rate: None,
            warm_up,
            time,
            patience: PATIENCE,
            watched: pids.to_vec(),
        };
        load::run_apart(&job, self.cores.load).await
    }
}

/// Waits until it answers with the upstream's answer. Its own start is not what is measured.
async fn wait_until_it_serves(process: &mut Process, address: SocketAddr) -> io::Result<()> {
    let http = Http::new(format!("http://{address}"));
    let begun = Instant::now();
    loop {
        let call = http.get("/api/users/u1").header("Authorization", &format!("Bearer {}", token::TOKEN));
        let trouble = match call.deadline(Duration::from_secs(2)).send().await {
            Ok(answer) if answer.status == 200 => return Ok(()),
            Ok(answer) => format!("it answers {answer}"),
            Err(error) => error.to_string(),
        };
        if let Some(status) = process.exit_status() {
            return Err(io::Error::other(format!("ended at once: {status}")));
        }
        if begun.elapsed() > START {
            return Err(io::Error::other(format!("does not serve after {START:?}: {trouble}")));
        }
        sleep(Duration::from_millis(5)).await;
    }
}

/// Another order in each round, so that nobody always follows the same one.
fn in_turn(contestants: &[Contestant], round: usize) -> Vec<Contestant> {
    let mut order = contestants.to_vec();
    if !order.is_empty() {
        order.rotate_left(round / 2 % contestants.len());
    }
    if round % 2 == 1 {
        order.reverse();
    }
    order
}

fn in_short(outcome: &Outcome) -> String {
    let rate = outcome
        .rate()
        .map_or_else(|| "nothing served".to_owned(), |rate| format!("{}/s", table::thousands(rate)));
    let cost = outcome.cost().map(|nanos| format!(", {} of processor time each", table::time(nanos)));
    let failed: Vec<String> =
        outcome.failed.iter().map(|(what, count)| format!(", {count} failed: {what}")).collect();
    format!("{rate}{}{}", cost.unwrap_or_default(), failed.concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everybody_takes_every_turn_in_the_end() {
        let mut firsts: Vec<&str> = (0..10).map(|round| in_turn(&Contestant::ALL, round)[0].key()).collect();
        firsts.sort_unstable();
        firsts.dedup();

        assert_eq!(firsts.len(), Contestant::ALL.len());
        assert_eq!(in_turn(&Contestant::ALL, 5).len(), Contestant::ALL.len());
    }
}
