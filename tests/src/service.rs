//! The three services, and how one becomes a child process.

use std::fmt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// One of the system's programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Owns the users.
    Users,
    /// Owns the orders.
    Orders,
    /// The only public entry.
    Gateway,
}

impl Service {
    /// All of them, in the order in which they start.
    pub const ALL: [Service; 3] = [Service::Users, Service::Orders, Service::Gateway];

    /// Its subcommand, which is also how its process is told apart: `warren users`.
    pub fn name(self) -> &'static str {
        match self {
            Service::Users => "users",
            Service::Orders => "orders",
            Service::Gateway => "gateway",
        }
    }

    /// The command that runs it from the binary `warren`, ending when the caller does.
    ///
    /// The child has a process group of its own, so that Ctrl-C in a terminal reaches the launcher alone, which then
    /// stops its children in the right order.
    pub fn command(self, warren: &Path) -> Command {
        let mut command = Command::new(warren);
        command.arg(self.name()).arg("--with-parent").stdin(Stdio::piped()).process_group(0);
        command
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
