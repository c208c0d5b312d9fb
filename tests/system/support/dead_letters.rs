//! `warren dead-letters`, as an operator calls it.

use std::process::{Output, Stdio};

use tokio::process::Command;

use super::WARREN;

/// Calls it with these arguments, on no terminal, for the gateway with this admin port. No token is in its environment.
pub async fn dead_letters(arguments: &[&str], admin: &str) -> Output {
    let mut command = Command::new(WARREN);
    command.arg("dead-letters").args(arguments).args(["--admin", admin]);
    command.env_remove("ADMIN_TOKEN").stdin(Stdio::null());
    command.output().await.expect("this build's binary runs")
}

/// What a command prints, which has to succeed.
pub fn succeed(Output { status, stdout, stderr }: Output) -> String {
    assert!(status.success(), "{status}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("the command prints text")
}
