//! The child's half of "a child ends with its launcher", even when the launcher is killed with signal 9.
//!
//! The launcher holds the write end of the child's standard input and never writes to it. Only the launcher's end, by
//! whatever cause, closes it.

use std::io;
use std::process;
use std::thread;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process};

/// How long a child may drain once its launcher is gone.
const GRACE: Duration = Duration::from_secs(5);

/// Starts a thread that ends this process when standard input ends: first by SIGTERM, five seconds later by force.
///
/// # Errors
///
/// The system has no thread left.
pub fn end_with_parent() -> io::Result<()> {
    let watch = || {
        // A read error is as good as the end: nobody can hold the other side any more.
        let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
        let _ = kill_process(getpid(), Signal::TERM);
        thread::sleep(GRACE);
        process::exit(1);
    };

    thread::Builder::new().name("with-parent".into()).spawn(watch).map(drop)
}
