//! Who runs on which core.
//!
//! The proxy has a core to itself, and everything that only measures it shares another one. So a contestant's figures
//! do not contain what the load costs.

use std::fmt;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
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

/// Lets this process and its children have as many descriptors as they may: a proxy needs two a connection.
pub(super) fn raise_descriptor_limit() -> Option<u64> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // Where it fails, the old limit stays, and is what the caller hears of.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    getrlimit(Resource::Nofile).current
}
