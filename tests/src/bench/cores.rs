//! Who runs on which core.
//!
//! The proxy has a core to itself, and everything that only measures it shares another one. So a contestant's figures
//! do not contain what the load costs.

use std::{fmt, fs, io};

use rustix::io::Errno;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// The cores in use; `None` where this machine is too small to keep anything apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cores {
    /// Of the contestant.
    pub proxy: Option<usize>,
    /// Of load and upstream.
    pub load: Option<usize>,
    /// How many there are.
    pub all: usize,
}

impl Cores {
    /// Takes the first two that this process may use.
    pub fn choose() -> Self {
        let allowed: Vec<usize> = match sched_getaffinity(None) {
            Ok(set) => (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).collect(),
            Err(_) => Vec::new(),
        };
        match allowed[..] {
            [proxy, load, ..] => Self { proxy: Some(proxy), load: Some(load), all: allowed.len() },
            _ => Self { proxy: None, load: None, all: allowed.len().max(1) },
        }
    }
}

impl fmt::Display for Cores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.proxy, self.load) {
            (Some(proxy), Some(load)) => {
                write!(f, "each proxy on core {proxy}, load and upstream on core {load}")?;
                if self.all > 2 { write!(f, ", {} cores left idle", self.all - 2) } else { Ok(()) }
            }
            _ => f.write_str(
                "one core for all, so nothing is pinned: requests/s and times contain the load's work",
            ),
        }
    }
}

/// Keeps this thread, and what it starts, on one core.
pub(super) fn pin(core: usize) -> rustix::io::Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set)
}

/// Keeps processes that run already, with all their threads, away from a core; on all others where it is `None` or the only
/// one. A thread that is begun meanwhile may be missed.
///
/// # Errors
///
/// One of the processes has ended.
pub(super) fn keep_off(pids: &[u32], core: Option<usize>) -> io::Result<()> {
    let mut others = sched_getaffinity(None)?;
    if let Some(core) = core {
        others.unset(core);
    }
    if others.count() == 0 {
        return Ok(());
    }
    for pid in pids {
        for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
            let thread =
                thread?.file_name().to_str().and_then(|name| name.parse().ok()).and_then(Pid::from_raw);
            match thread.map(|thread| sched_setaffinity(Some(thread), &others)) {
                // It has just ended.
                Some(Err(Errno::SRCH)) | Some(Ok(())) | None => {}
                Some(Err(error)) => return Err(error.into()),
            }
        }
    }
    Ok(())
}

/// Lets this process and its children have as many descriptors as they may: a proxy needs two a connection.
pub(super) fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it fails, the old limit stays, and is what the caller hears of.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current
}
