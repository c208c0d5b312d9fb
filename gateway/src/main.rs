//! The gateway as a binary of its own.

use std::{env, path::Path, process::ExitCode};

fn main() -> ExitCode {
    let mut arguments = env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != "check") {
        return gateway::run();
    }
    match (arguments.next(), arguments.next()) {
        (Some(file), None) => gateway::check(Path::new(&file)),
        _ => {
            eprintln!("usage: gateway check FILE");
            ExitCode::from(2)
        }
    }
}
