//! Warren.

/// Runs the service until it is told to stop.
pub fn run() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
