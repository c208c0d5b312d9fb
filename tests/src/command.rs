//! From a subcommand's work to its exit code.

use std::error::Error;
use std::future::Future;
use std::process::ExitCode;

use tokio::runtime;
use tokio::task::LocalSet;

/// Runs the work of a subcommand on this thread; exits with 1 where it fails, and says why, with all causes.
pub(crate) fn run(work: impl Future<Output = Result<(), Box<dyn Error>>>) -> ExitCode {
    let runtime = runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Box::from).and_then(|runtime| LocalSet::new().block_on(&runtime, work));
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// What an error says, and what it was caused by.
pub(crate) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
