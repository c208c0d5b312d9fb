//! What the processes hold: memory, threads and descriptors, before and after.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::time::Duration;

use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::site::Site;
use crate::load::audit::Findings;
use crate::service::Service;

/// The services close connections that rest after 75 s, clients theirs after 30 s or when they look next, every 30 s.
const REST: Duration = Duration::from_secs(100);

/// How often one looks.
const LOOK: Duration = Duration::from_millis(250);

/// Some connections between the processes never rest, because somebody asks every second whether the other is ready, and which
/// and how many these are changes. A leak at every fault would be larger after some minutes.
const PROBED: u64 = 8;

/// In whose environment a leak can be seen. After 260,000 orders a process holds some 80 MiB more than a fresh one: 64 of them
/// are pages of its file, and most others are free, which the allocator keeps for each thread. So pages take 4 MiB here, and
/// what is free is given back.
pub(super) const SPARING: [(&str, &str); 3] =
    [("STORE_CACHE_BYTES", "4194304"), ("MALLOC_ARENA_MAX", "1"), ("MALLOC_TRIM_THRESHOLD_", "262144")];

/// How much more memory a process may hold, at any quiet moment, than a fresh one on the same data. It was 15 MiB after 20,000
/// orders in the life of a process and 23 after 145,000, up and down: the pages, the buffers of some hundred connections, and
/// gaps between what is used. A leak that this lets through takes less than 32 MiB in the life of a process, together with
/// these: 400 bytes with each order are found after 60,000.
const MORE_KIB: u64 = 32 * 1024;

/// What a process holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Held {
    /// Its heap and stacks. The program itself is read in page by page, which is no growth.
    pub memory_kib: u64,
    pub threads: u64,
    pub descriptors: u64,
}

/// The services' figures.
pub(super) type Figures = BTreeMap<Service, Held>;

impl Held {
    /// Of this process; `None` where it is gone.
    pub fn by(pid: u32) -> Option<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let field = |name: &str| -> Option<u64> {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse().ok()
        };
        Some(Self {
            memory_kib: field("RssAnon:")?,
            threads: field("Threads:")?,
            descriptors: fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count() as u64,
        })
    }
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { memory_kib, threads, descriptors } = self;
        write!(f, "{:.1} MiB, {threads} threads, {descriptors} descriptors", *memory_kib as f64 / 1024.0)
    }
}

/// What the services hold now.
pub(super) fn now(site: &Site) -> Figures {
    let running = site.system.children().filter(|child| child.is_running());
    running.filter_map(|child| Some((child.service(), Held::by(child.pid())?))).collect()
}

/// The most that was held at any of these times. A leak is found in whichever process lived long enough, also where that one
/// was killed later.
pub(super) fn most(times: impl Iterator<Item = Figures>) -> Figures {
    let mut most = Figures::new();
    for (service, Held { memory_kib, threads, descriptors }) in times.flatten() {
        let held = most.entry(service).or_default();
        held.memory_kib = held.memory_kib.max(memory_kib);
        held.threads = held.threads.max(threads);
        held.descriptors = held.descriptors.max(descriptors);
    }
    most
}

/// What the services hold when they are at rest: threads and descriptors as `before`, or whatever it is after 100 s.
pub(super) async fn at_rest(site: &Site, before: &Figures) -> Figures {
    let begun = Instant::now();
    loop {
        let now = now(site);
        let is_at_rest = Service::ALL.iter().all(|service| match (now.get(service), before.get(service)) {
            (Some(now), Some(before)) => {
                now.threads <= before.threads && now.descriptors <= before.descriptors + PROBED
            }
            _ => false,
        });
        if is_at_rest || begun.elapsed() > REST {
            return now;
        }
        sleep(LOOK).await;
    }
}

/// Compares what the services hold `after` the run with what they held `before`, and with what a `fresh` process holds on the
/// same data.
pub(super) fn compare(before: &Figures, after: &Figures, fresh: &Figures, findings: &mut Findings) {
    for service in Service::ALL {
        let of = |figures: &Figures| figures.get(&service).copied().unwrap_or_default();
        let (before, after, fresh) = (of(before), of(after), of(fresh));
        if after.threads > before.threads.max(fresh.threads) {
            findings
                .wrong
                .add(1, || format!("{service} has {} threads instead of {}", after.threads, before.threads));
        }
        if after.descriptors > before.descriptors.max(fresh.descriptors) + PROBED {
            findings.wrong.add(1, || {
                format!("{service} has {} descriptors instead of {}", after.descriptors, before.descriptors)
            });
        }
        if after.memory_kib > fresh.memory_kib + MORE_KIB {
            findings.wrong.add(1, || {
                format!("{service} holds {after}, where a fresh process on the same data holds {fresh}")
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(memory_kib: u64, threads: u64, descriptors: u64) -> Figures {
        let held = Held { memory_kib, threads, descriptors };
        Service::ALL.into_iter().map(|service| (service, held)).collect()
    }

    fn found(after: Figures) -> u64 {
        let mut findings = Findings::default();
        compare(&all(10_000, 8, 30), &after, &all(40_000, 8, 28), &mut findings);
        findings.wrong.count
    }

    #[test]
    fn a_thread_more_is_found_in_each_service_and_so_are_descriptors() {
        assert_eq!(found(all(50_000, 8, 30)), 0);
        assert_eq!(found(all(50_000, 7, 20)), 0);
        assert_eq!(found(all(50_000, 9, 30)), 3);
        assert_eq!(found(all(50_000, 8, 30 + PROBED)), 0);
        assert_eq!(found(all(50_000, 8, 31 + PROBED)), 3);
    }

    #[test]
    fn memory_may_grow_with_the_data_and_not_much_beyond() {
        assert_eq!(found(all(40_000 + MORE_KIB, 8, 30)), 0);
        assert_eq!(found(all(40_001 + MORE_KIB, 8, 30)), 3);
    }

    #[test]
    fn the_most_that_was_held_is_remembered_of_each_service() {
        let mut later = all(30_000, 9, 20);
        later.remove(&Service::Gateway);

        let most = most([all(20_000, 8, 30), later].into_iter());

        let held = |memory_kib, threads, descriptors| Held { memory_kib, threads, descriptors };
        assert_eq!(most[&Service::Orders], held(30_000, 9, 30));
        assert_eq!(most[&Service::Gateway], held(20_000, 8, 30));
    }

    #[test]
    fn this_process_holds_something() {
        let held = Held::by(std::process::id()).expect("it runs");

        assert!(held.memory_kib > 500 && held.threads > 0 && held.descriptors > 2, "{held}");
        assert_eq!(Held::by(u32::MAX), None);
    }
}
