//! The benchmark's options.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};

use super::brokers::Stock;
use super::proxies::{Comparison, Contestant, Scenario};
use super::system::Exercise;

/// What `cargo bench-system` accepts.
#[derive(Args, Clone, Debug, Default)]
pub struct Options {
    /// Take under two minutes, with figures that vary more
    #[arg(long)]
    pub quick: bool,

    /// Measure only this part
    #[arg(long)]
    pub only: Option<Part>,

    /// How often the proxies take turns
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    pub rounds: Option<u16>,

    /// Measure only this proxy; may be given again for others
    #[arg(long, value_name = "NAME", value_parser = contestant)]
    pub contestant: Vec<Contestant>,

    /// Measure only this load on the proxies; may be given again for others
    #[arg(long, value_name = "NAME", value_parser = scenario)]
    pub scenario: Vec<Scenario>,

    /// Keep one proxy (--contestant) under one load (--scenario) for so long, and print its process: for a profiler
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..))]
    pub hold: Option<u64>,

    /// Write the tables to this file instead of bench.md in the target folder
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// A part of the benchmark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The gateway beside other proxies
    Proxies,
    /// Orders through the whole system
    System,
    /// The embedded broker beside RabbitMQ
    Brokers,
}

/// What the benchmark starts itself as.
#[derive(Debug, Subcommand)]
pub enum Role {
    /// The service behind the proxies
    Upstream {
        /// On the loopback interface
        #[arg(long)]
        port: u16,
    },
    /// The load: a job on standard input, its outcome on standard output
    Load,
    /// Another program, on a core, for as long as the benchmark runs
    Run {
        /// The process whose end is this one's end
        #[arg(long)]
        parent: u32,
        /// The core; any where it is not given
        #[arg(long)]
        core: Option<usize>,
        /// The program and its arguments
        #[arg(last = true, required = true)]
        program: Vec<String>,
    },
}

impl Options {
    /// Whether this part is to be measured.
    pub fn wants(&self, part: Part) -> bool {
        self.only.is_none_or(|only| only == part)
    }

    /// What is compared, all if nothing was chosen.
    pub fn comparison(&self) -> Comparison {
        let (rounds, warm_up, time) = if self.quick { (3, 200, 500) } else { (5, 500, 2000) };
        Comparison {
            contestants: all_or(&self.contestant, &Contestant::ALL),
            scenarios: all_or(&self.scenario, &Scenario::ALL),
            rounds: self.rounds.map_or(rounds, usize::from),
            warm_up: Duration::from_millis(warm_up),
            time: Duration::from_millis(time),
        }
    }

    /// What the brokers keep.
    pub(super) fn stock(&self) -> Stock {
        Stock { messages: if self.quick { 20_000 } else { 100_000 } }
    }

    /// What the whole system does.
    pub(super) fn exercise(&self) -> Exercise {
        let (orders, delay, outage) = if self.quick { (3, 4, 2) } else { (10, 15, 5) };
        Exercise {
            orders: Duration::from_secs(orders),
            delay: Duration::from_secs(delay),
            overload: Duration::from_secs(orders),
            outage: Duration::from_secs(outage),
        }
    }
}

fn all_or<T: Clone>(chosen: &[T], all: &[T]) -> Vec<T> {
    if chosen.is_empty() { all.to_vec() } else { chosen.to_vec() }
}

fn contestant(name: &str) -> Result<Contestant, String> {
    named(name, &Contestant::ALL, |contestant| contestant.key())
}

fn scenario(name: &str) -> Result<Scenario, String> {
    named(name, &Scenario::ALL, |scenario| scenario.key)
}

fn named<T: Copy>(name: &str, all: &[T], key: impl Fn(&T) -> &'static str) -> Result<T, String> {
    let keys: Vec<&str> = all.iter().map(&key).collect();
    let found = all.iter().find(|one| key(one) == name).copied();
    found.ok_or_else(|| format!("is none of {}", keys.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn parse(arguments: &[&str]) -> Result<Options, String> {
        let arguments = [&["bench"], arguments].concat();
        Cli::try_parse_from(arguments).map(|cli| cli.options).map_err(|error| error.to_string())
    }

    #[test]
    fn nothing_said_means_everything() {
        let options = parse(&[]).expect("no option is needed");
        let comparison = options.comparison();

        assert!([Part::Proxies, Part::System, Part::Brokers].into_iter().all(|part| options.wants(part)));
        assert_eq!(comparison.contestants, Contestant::ALL);
        assert_eq!(comparison.scenarios, Scenario::ALL);
    }

    #[test]
    fn parts_rounds_contestants_and_scenarios_can_be_chosen() {
        let arguments =
            ["--only", "proxies", "--rounds", "2", "--contestant", "nginx", "--scenario", "get-64"];
        let options = parse(&arguments).expect("all of these exist");
        let comparison = options.comparison();

        assert!(!options.wants(Part::System));
        assert_eq!((comparison.rounds, comparison.contestants), (2, vec![Contestant::Nginx]));
        assert_eq!(comparison.scenarios.len(), 1);
    }

    #[test]
    fn a_name_that_does_not_exist_is_answered_with_those_that_do() {
        let error = parse(&["--contestant", "apache"]).expect_err("no such contestant");

        assert!(error.contains("warren-plain, warren-policies, nginx, nginx-unbuffered, haproxy"), "{error}");
        assert!(parse(&["--rounds", "0"]).is_err());
        assert!(parse(&["--only", "everything"]).is_err());
    }

    #[test]
    fn quick_is_quick() {
        let comparison = parse(&["--quick"]).expect("an option").comparison();
        let one = comparison.warm_up + comparison.time + Duration::from_millis(300);
        let pairs = comparison.scenarios.iter().flat_map(|&scenario| {
            comparison.contestants.iter().filter(move |contestant| contestant.takes_part_in(scenario))
        });
        let runs = comparison.rounds * pairs.count();

        assert!(one * u32::try_from(runs).expect("few") < Duration::from_secs(80));
    }
}
