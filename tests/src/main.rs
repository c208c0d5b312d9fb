//! `warren`: the launcher behind `cargo up`, the picture behind `cargo top`, the benchmark behind `cargo bench-system`, an operator's view of the dead letters, faults on demand,
//! and each service as a subcommand.

use std::{path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};
use warren::{bench, broker, chaos, dead_letters, fault, fault_proxy, parent, top, up};

#[derive(Parser)]
#[command(name = "warren", about = "The whole system on one machine", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run users, orders and gateway as child processes, with a broker, until Ctrl-C
    Up(up::Options),
    /// Show the running system in this terminal: links, actors and what happened, as the console does
    Top(top::Options),
    /// Measure what a proxied request costs beside nginx and haproxy, and what the whole system does
    Bench(bench::Options),
    #[command(subcommand, hide = true)]
    BenchPart(bench::Role),
    /// Run the system under load, inject faults of all kinds, and audit that nothing was lost or doubled
    Chaos(chaos::Options),
    /// List the events that no consumer could handle, or send them back to their queues
    DeadLetters(dead_letters::Options),
    /// Run the embedded AMQP broker: for development, tests and demos on one machine
    Broker(broker::Options),
    /// Have the embedded broker of a running system do something wrong, now or at an exact moment
    Fault(fault::Options),
    /// Carry TCP connections to a server as badly as a network can: slow, silent, cut off
    FaultProxy(fault_proxy::Options),
    /// Run the users service, configured by the environment
    Users(Child),
    /// Run the orders service, configured by the environment
    Orders(Child),
    /// Run the gateway, configured by the environment, or check its settings
    Gateway(Gateway),
}

#[derive(Args)]
struct Child {
    /// End when standard input ends, that is, with the process that holds its other side
    #[arg(long)]
    with_parent: bool,

    /// Ask the one that runs on PORT of this machine whether it is ready, and exit with 0 if so, degraded or not
    #[arg(long)]
    health: bool,
}

#[derive(Args)]
#[command(args_conflicts_with_subcommands = true, disable_help_subcommand = true)]
struct Gateway {
    #[command(flatten)]
    child: Child,

    #[command(subcommand)]
    command: Option<GatewayCommand>,
}

#[derive(Subcommand)]
enum GatewayCommand {
    /// Say what a settings file means together with the environment, or everything that is wrong with it
    Check {
        /// A TOML file such as GATEWAY_CONFIG names
        file: PathBuf,
    },
}

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Up(options) => up::main(options),
        Command::Top(options) => top::main(options),
        Command::Bench(options) => bench::main(&options),
        Command::BenchPart(role) => bench::play(role),
        Command::Chaos(options) => chaos::main(&options),
        Command::DeadLetters(options) => dead_letters::main(&options),
        Command::Broker(options) => {
            if options.with_parent
                && let Err(code) = with_parent()
            {
                return code;
            }
            broker::main(&options)
        }
        Command::Fault(options) => fault::main(options),
        Command::FaultProxy(options) => fault_proxy::main(options),
        Command::Users(child) => child.run(users::run),
        Command::Orders(child) => child.run(orders::run),
        Command::Gateway(Gateway { command: Some(GatewayCommand::Check { file }), .. }) => {
            gateway::check(&file)
        }
        Command::Gateway(Gateway { child, command: None }) => child.run(gateway::run),
    }
}

impl Child {
    fn run(self, service: fn() -> ExitCode) -> ExitCode {
        // The service itself sees `--health` among the arguments, as its own binary does.
        if self.with_parent
            && !self.health
            && let Err(code) = with_parent()
        {
            return code;
        }
        service()
    }
}

/// From now on this process ends with the one that started it.
fn with_parent() -> Result<(), ExitCode> {
    parent::end_with_parent().map_err(|error| {
        eprintln!("cannot watch the parent process: {error}");
        ExitCode::FAILURE
    })
}
