//! Whether a service holds on to what it should have let go.

use std::time::Duration;

use warren::harness::{Child, eventually};
use warren::note;

use super::Actors;

/// How many threads and descriptors may come and go by themselves: connections that HTTP clients and probes keep open,
/// threads of the pool for files. A story that looks for leaks repeats its fault often enough that one at every second
/// time is more.
const COME_AND_GO: usize = 8;

/// The threads and descriptors of one service, at a time when all that is made on first use is there.
pub struct Holds<'a> {
    child: &'a Child,
    threads: u64,
    descriptors: usize,
}

impl<'a> Holds<'a> {
    /// What it holds now.
    pub fn now(child: &'a Child) -> Self {
        Self { child, threads: child.threads(), descriptors: child.descriptors() }
    }

    /// Waits until it holds no more than it did then, but for what comes and goes.
    ///
    /// # Panics
    ///
    /// When it still holds more after 20 s.
    pub async fn still(&self) {
        let Self { child, threads, descriptors } = self;
        let what = format!("{}: {threads} threads and {descriptors} descriptors, as before", child.service());
        eventually(Duration::from_secs(20), &what, async || {
            let now = Self::now(child);
            if now.threads <= threads + COME_AND_GO as u64 && now.descriptors <= descriptors + COME_AND_GO {
                Ok(())
            } else {
                Err(format!("{} and {}", now.threads, now.descriptors))
            }
        })
        .await;
        let now = Self::now(child);
        let restarts = Actors::of(child).await.restarts("broker");
        note!("{what}: {} and {} after {restarts} restarts", now.threads, now.descriptors);
    }
}
