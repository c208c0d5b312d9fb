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

mod admin;

mod welcome;

mod launcher;

use std::process::ExitCode;

use crate::command;

/// Runs the system until SIGINT or SIGTERM; exits with 0 after a complete drain.
pub fn main(options: Options) -> ExitCode {
    command::run(launcher::run(&options))
}
