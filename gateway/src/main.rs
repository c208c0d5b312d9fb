//! The gateway as a binary of its own.

fn main() -> std::process::ExitCode {
    gateway::run()
}
