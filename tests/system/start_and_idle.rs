//! How long a start takes, and what a service costs while nothing happens.

use std::time::{Duration, Instant};

use warren::harness::{eventually, shared_vhost};
use warren::note;

use crate::support::system;

/// Measured well below one second; a busy machine and an unoptimised build get more.
const STARTS_WITHIN: Duration = Duration::from_secs(10);

/// The goal is 20 MB for an optimised build.
const IDLE_KIB: u64 = 80 * 1024;

/// Workers, arbiters, the store's writer, one for each of lapin's two connections, the runtime's own.
const THREADS: u64 = 32;

async fn a_service_is_ready_soon_and_idles_on_little() {
    let system = system().broker(shared_vhost().await).prepare().await;

    for child in system.children() {
        let begun = Instant::now();
        child.start();
        child.wait_ready().await;
        let ready = begun.elapsed();
        child.wait_not_degraded().await;
        let linked = begun.elapsed();
        note!("{}: ready after {ready:?}, not degraded after {linked:?}", child.service());
        assert!(linked < STARTS_WITHIN, "{} took {linked:?}", child.service());
    }
    for child in system.children() {
        let what = format!("{} idles on less than {IDLE_KIB} KiB and {THREADS} threads", child.service());
        eventually(Duration::from_secs(5), &what, async || {
            let (memory, threads) = (child.resident_kib(), child.threads());
            if memory < IDLE_KIB && threads < THREADS {
                Ok(())
            } else {
                Err(format!("{memory} KiB, {threads}"))
            }
        })
        .await;
        note!(
            "{}: {} KiB resident, {} threads, {} descriptors",
            child.service(),
            child.resident_kib(),
            child.threads(),
            child.descriptors()
        );
    }
    system.finish().await;
}

warren::stories! {
    on both brokers:
        a_service_is_ready_soon_and_idles_on_little;
}
