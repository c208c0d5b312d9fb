//! `cargo bench-system`: the figures by which one decides.
//!
//! First the gateway beside nginx and haproxy ([`proxies`]), then the whole system (`system`), then the embedded broker
//! beside RabbitMQ (`brokers`). Everything runs in child
//! processes of the same program, on the loopback interface and on free ports, and ends with the benchmark.

mod options;
pub use options::{Options, Part, Role};

pub mod proxies;

mod system;

mod brokers;

pub mod load;

mod token;
mod upstream;

mod cores;
mod poller;
mod process;
mod usage;

mod histogram;
mod machine;
mod statistics;
mod table;

use std::env;
use std::error::Error;
use std::fmt;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use cores::Cores;
use machine::Machine;
use proxies::{Contestant, Scenario};

use crate::harness::Folder;

/// Two descriptors a connection, and some.
const DESCRIPTORS: u64 = 4096;

/// Measures, prints the tables and writes them to a file.
pub fn main(options: &Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Box::from).and_then(|runtime| runtime.block_on(until_told_to_end(options)));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Runs one of the processes that the benchmark starts.
pub fn play(role: Role) -> ExitCode {
    let result = match role {
        Role::Upstream { port } => upstream::serve(port),
        Role::Load => load::run_as_part(),
        Role::Run { parent, core, program } => return process::become_program(parent, core, &program),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(format_args!("error: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A signal drops what runs, and with it every child and folder.
async fn until_told_to_end(options: &Options) -> Result<(), Box<dyn Error>> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        result = run(options) => result,
        _ = interrupt.recv() => Err("told to end, so there are no figures".into()),
        _ = terminate.recv() => Err("told to end, so there are no figures".into()),
    }
}

async fn run(options: &Options) -> Result<(), Box<dyn Error>> {
    let cores = Cores::choose();
    if let Some(limit) = cores::raise_descriptor_limit().filter(|&limit| limit < DESCRIPTORS) {
        say(format_args!(
            "a process may open {limit} descriptors only, so 1,000 connections may fail: see `ulimit -Hn`"
        ));
    }
    if cfg!(debug_assertions) {
        say("this is a debug build, whose figures say nothing: run `cargo bench-system`");
    }
    if let Some(seconds) = options.hold {
        let contestant = options.contestant.first().copied().unwrap_or(Contestant::WarrenPlain);
        let scenario = options.scenario.first().copied().unwrap_or(Scenario::ALL[1]);
        return Ok(proxies::hold(contestant, scenario, Duration::from_secs(seconds), cores).await?);
    }

    let mut machine = Machine::here();
    let mut parts = Vec::new();
    if options.wants(Part::Proxies) {
        let comparison = options.comparison();
        for contestant in [Contestant::Nginx, Contestant::Haproxy] {
            machine.runs(contestant.key(), contestant.version());
        }
        say(format_args!("proxies: {} rounds, {cores}", comparison.rounds));
        let tables = comparison.run(cores).await?;
        parts.push(format!(
            "Proxies: {cores}; {} rounds of {:?} each; medians, and in brackets the extremes of the rounds. \
             Where a proxy's core is not busy, the load is what limits requests/s, and the processor time is what compares.\n\n{tables}",
            comparison.rounds, comparison.time
        ));
    }

    if options.wants(Part::System) {
        let folder = Folder::below(&target_folder()?);
        match options.exercise().run(folder.path()).await {
            Ok((server, tables)) => {
                machine.runs(&server.product, Some(server.version));
                parts.push(format!(
                    "The whole system, sharing the cores with its load and its broker.\n\n{tables}"
                ));
            }
            // The first part's figures are not thrown away with it.
            Err(error) if options.only.is_none() => {
                say(format_args!("system: {error}"));
                parts.push(format!("The whole system was not measured: {error}\n"));
            }
            Err(error) => return Err(error),
        }
    }

    if options.wants(Part::Brokers) {
        let folder = Folder::below(&target_folder()?);
        let table = options.stock().run(folder.path()).await?;
        parts.push(format!("The embedded broker beside RabbitMQ. {table}"));
    }

    let report = format!("{machine}\n\n{}\n", parts.join("\n"));
    let _ = writeln!(io::stdout(), "\n{report}");
    let file = match &options.markdown {
        Some(file) => file.clone(),
        None => target_folder()?.join("bench.md"),
    };
    fs::write(&file, report).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
    say(format_args!("written to {}", file.display()));
    Ok(())
}

/// Two above this program. It is on a disk, where temporary files may not be.
fn target_folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    let folder = program.parent().and_then(|profile| profile.parent());
    Ok(folder.map_or_else(env::temp_dir, PathBuf::from))
}

/// Tells the one who waits how far it is. Whoever reads only the beginning, such as `head`, has what it wants.
fn say(line: impl fmt::Display) {
    let _ = writeln!(io::stderr(), "{line}");
}
