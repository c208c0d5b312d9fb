//! What this process takes of its machine, under the names that every Prometheus client library gives them.

use std::{fmt, fs};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
};
use rustix::process::{Resource, getrlimit};

/// Asks the kernel at every scrape; shows nothing where it has no `/proc`.
#[derive(Debug)]
pub(super) struct Process {
    started: Option<f64>,
}

impl Process {
    pub(super) fn new() -> Self {
        let boot = fs::read_to_string("/proc/stat").ok().and_then(|stat| boot_time(&stat));
        let started = boot.zip(Stat::of_this_process()).map(|(boot, stat)| boot + stat.started_after_boot);
        Self { started }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut gauge = |name, help, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        let stat = Stat::of_this_process();
        let of = |read: fn(&Stat) -> f64| stat.as_ref().map(read);
        gauge("process_resident_memory_bytes", "Memory that is in RAM.", of(|stat| stat.resident_bytes))?;
        gauge("process_virtual_memory_bytes", "Memory that is addressed.", of(|stat| stat.virtual_bytes))?;
        gauge("process_threads", "Threads.", of(|stat| stat.threads))?;
        gauge("process_start_time_seconds", "When it started, in seconds since 1970.", self.started)?;
        gauge("process_open_fds", "Descriptors that are open.", open_descriptors())?;
        gauge("process_max_fds", "Descriptors that may be open.", most_descriptors())?;
        if let Some(seconds) = of(|stat| stat.cpu_seconds) {
            let counter = ConstCounter::new(seconds);
            let kind = counter.metric_type();
            let help = "Processor time, its own and the kernel's for it.";
            counter.encode(encoder.encode_descriptor("process_cpu_seconds", help, None, kind)?)?;
        }
        Ok(())
    }
}

/// What `/proc/self/stat` says, in base units.
#[derive(Debug, PartialEq)]
struct Stat {
    cpu_seconds: f64,
    threads: f64,
    started_after_boot: f64,
    virtual_bytes: f64,
    resident_bytes: f64,
}

impl Stat {
    fn of_this_process() -> Option<Self> {
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let page = rustix::param::page_size() as f64;
        Self::parse(&fs::read_to_string("/proc/self/stat").ok()?, ticks, page)
    }

    /// Reads the fields by their numbers in proc(5). The second is the program's name in parentheses, and may hold
    /// anything.
    fn parse(line: &str, ticks: f64, page: f64) -> Option<Self> {
        let fields: Vec<&str> = line.rsplit_once(')')?.1.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
        Some(Self {
            cpu_seconds: (field(14)? + field(15)?) / ticks,
            threads: field(20)?,
            started_after_boot: field(22)? / ticks,
            virtual_bytes: field(23)?,
            resident_bytes: field(24)? * page,
        })
    }
}

/// Reads the line `btime` of `/proc/stat`: when the machine started, in seconds since 1970.
fn boot_time(stat: &str) -> Option<f64> {
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

/// Counts the descriptors but the one that is open for it.
fn open_descriptors() -> Option<f64> {
    let listed = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(listed.saturating_sub(1) as f64)
}

fn most_descriptors() -> Option<f64> {
    getrlimit(Resource::Nofile).current.map(|most| most as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_whose_name_looks_like_fields_is_read_right() {
        let line = "42 (a) R 1) S 1 2 3 4 5 6 7 8 9 10 150 50 0 0 20 0 7 0 1200 8192 3 18446744073709551615";

        let stat = Stat::parse(line, 100.0, 4096.0).expect("it is whole");

        let expected = Stat {
            cpu_seconds: 2.0,
            threads: 7.0,
            started_after_boot: 12.0,
            virtual_bytes: 8192.0,
            resident_bytes: 12288.0,
        };
        assert_eq!(stat, expected);
        assert_eq!(Stat::parse("42 (a) S 1 2", 100.0, 4096.0), None);
    }

    #[test]
    fn the_machine_started_when_it_says() {
        assert_eq!(boot_time("cpu 1 2\nbtime 1700000000\nprocesses 7\n"), Some(1_700_000_000.0));
        assert_eq!(boot_time("cpu 1 2\n"), None);
    }

    #[test]
    fn this_process_has_what_every_process_has() {
        let stat = Stat::of_this_process().expect("the kernel has /proc");
        let started = Process::new().started.expect("the kernel has /proc");

        assert!(stat.threads >= 1.0 && stat.resident_bytes > 100_000.0, "{stat:?}");
        assert!(open_descriptors() >= Some(3.0) && most_descriptors() >= open_descriptors());
        let now = jiff::Timestamp::now().as_second() as f64;
        assert!((now - 600.0..=now + 1.0).contains(&started), "{started}");
    }
}
