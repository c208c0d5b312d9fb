//! Other programs as children of the benchmark: on their core, and gone when it is.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{self, Command, ExitCode, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, set_parent_process_death_signal};

use super::cores;

/// How long a process may take to end when it is told to.
const END: Duration = Duration::from_secs(5);

/// The command that runs `program` on a core, in place of which it may get further arguments and variables.
///
/// In between is a moment of `warren bench-part run`, which does to itself what lasts through `exec`: the core, and the kernel's
/// promise of a SIGTERM when the benchmark ends, by whatever cause.
pub(super) fn command(program: impl AsRef<OsStr>, core: Option<usize>) -> io::Result<Command> {
    let mut command = Command::new(env::current_exe()?);
    command.args(["bench-part", "run", "--parent", &process::id().to_string()]);
    if let Some(core) = core {
        command.args(["--core", &core.to_string()]);
    }
    // Of its own group, so that Ctrl-C in a terminal reaches the benchmark alone, which ends its children.
    command.arg("--").arg(program).stdin(Stdio::null()).process_group(0);
    Ok(command)
}

/// The other half of [`command`]: becomes the program. Returns only if it cannot.
pub(super) fn become_program(parent: u32, core: Option<usize>, program: &[String]) -> ExitCode {
    let pinned = core.map_or(Ok(()), cores::pin);
    let tied = pinned.and_then(|()| set_parent_process_death_signal(Some(Signal::TERM)));
    // The parent may have ended before the kernel knew.
    if let Ok(()) = tied
        && parent_id() != parent
    {
        return ExitCode::FAILURE;
    }
    let error = match (tied, program) {
        (Err(error), _) => error.into(),
        (_, [program, arguments @ ..]) => Command::new(program).args(arguments).exec(),
        (_, []) => io::Error::other("no program is named"),
    };
    eprintln!("cannot run {program:?}: {error}");
    ExitCode::FAILURE
}

/// A process that is ended when this is dropped.
pub(super) struct Process(process::Child);

impl Process {
    pub fn start(mut command: Command) -> io::Result<Self> {
        command.spawn().map(Self)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    /// How it ended, if it has.
    pub fn exit_status(&mut self) -> Option<process::ExitStatus> {
        self.0.try_wait().ok().flatten()
    }
}

impl Drop for Process {
    /// By SIGTERM first: nginx' master ends its workers.
    fn drop(&mut self) {
        if self.exit_status().is_none() {
            let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        }
        let told = Instant::now();
        while self.exit_status().is_none() && told.elapsed() < END {
            sleep(Duration::from_millis(2));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
