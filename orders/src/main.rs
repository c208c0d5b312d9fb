//! The orders service as a binary of its own.

fn main() -> std::process::ExitCode {
    orders::run()
}
