//! `warren fault-proxy`: the proxy for a person, who types faults.

use std::io::{self, BufRead};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread;

use clap::Args;

use super::FaultProxy;
use super::command::Command;

/// What `warren fault-proxy` accepts.
#[derive(Args, Debug)]
#[command(after_help = "Example, which has the services reach a RabbitMQ over a slow network:\n  \
                        warren fault-proxy --listen 5673 --to localhost:5672 --fault 'delay 200ms'\n  \
                        cargo up --broker amqp://guest:guest@127.0.0.1:5673/%2f\n\
                        \nThen type faults, a line each: `help` lists them.")]
pub struct Options {
    /// The port of this machine to listen on
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    listen: u16,

    /// The server behind
    #[arg(long, value_name = "HOST:PORT", value_parser = server)]
    to: String,

    /// A fault to begin with, such as 'delay 200ms'; may be repeated
    #[arg(long = "fault", value_name = "FAULT", value_parser = Command::parse_line)]
    faults: Vec<Command>,
}

/// Runs the proxy until Ctrl-C; exits with 1 where the port is taken.
pub fn main(options: Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.and_then(|runtime| runtime.block_on(run(options)));

    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Options { listen, to, faults }: Options) -> io::Result<()> {
    let proxy = FaultProxy::listen(listen, &to).await;
    let proxy = proxy.map_err(|error| {
        io::Error::other(format!("cannot listen on port {listen}: {error}; choose another by --listen"))
    })?;
    let proxy = Arc::new(proxy);
    for fault in faults {
        fault.apply(&proxy);
    }
    println!("listening on {} for {to}: {}", proxy.address(), proxy.describe());

    let typist = proxy.clone();
    thread::Builder::new().name("faults".into()).spawn(move || obey(&typist))?;
    tokio::signal::ctrl_c().await
}

/// Does what is typed, until the end of standard input, after which the proxy goes on as it is.
fn obey(proxy: &FaultProxy) {
    for line in io::stdin().lock().lines().map_while(Result::ok) {
        match Command::parse_line(&line) {
            Ok(command) => println!("{}", command.apply(proxy)),
            Err(error) => print!("{error}"),
        }
    }
}

/// Checks that an address has a host and a port.
fn server(text: &str) -> Result<String, String> {
    match text.rsplit_once(':') {
        Some((host, port)) if !host.is_empty() && port.parse::<u16>().is_ok_and(|port| port > 0) => {
            Ok(text.to_owned())
        }
        _ => Err("is no HOST:PORT such as localhost:5672".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_has_a_host_and_a_port() {
        for text in ["localhost:5672", "10.0.0.1:1", "[::1]:5672"] {
            assert_eq!(server(text), Ok(text.to_owned()));
        }
        for text in ["localhost", ":5672", "localhost:", "localhost:0", "localhost:99999"] {
            assert!(server(text).is_err(), "{text}");
        }
    }
}
