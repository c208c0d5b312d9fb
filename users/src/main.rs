//! The users service as a binary of its own.

fn main() -> std::process::ExitCode {
    users::run()
}
