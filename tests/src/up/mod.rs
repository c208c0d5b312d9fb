//! `cargo up`: the whole system under one launcher, until Ctrl-C.
//!
//! The launcher starts a broker where none is given, then users, orders and gateway as child processes. It brings back
//! whatever dies, passes their log lines on, and at the end drains the gateway first, then the services, then its broker:
//! each while what it depends on is still there.

mod options;
pub use options::Options;

mod screen;

mod broker;

mod keeper;

mod launcher;

use std::error::Error;
use std::process::ExitCode;

/// Runs the system until SIGINT or SIGTERM; exits with 0 after a complete drain.
pub fn main(options: Options) -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Box::from).and_then(|runtime| runtime.block_on(launcher::run(&options)));

    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
