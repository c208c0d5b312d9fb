//! What a process costs, as the kernel counts it: processor time and memory, of all its threads and children.

use std::fs;
use std::io;

/// The kernel's unit of `/proc/PID/stat`, the same on every Linux in use: 100 a second.
const TICK_NANOS: u64 = 10_000_000;

/// The process and its children, such as nginx' workers. To be asked once they have started.
pub fn family(pid: u32) -> Vec<u32> {
    let parent_of =
        |pid: u32| -> Option<u32> { stat_field(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?, 4) };
    let all = fs::read_dir("/proc").into_iter().flatten().flatten();
    let children = all.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    std::iter::once(pid).chain(children.filter(|&child| parent_of(child) == Some(pid))).collect()
}

/// Processor time in user and kernel mode so far, in nanoseconds.
///
/// # Errors
///
/// One of the processes has ended.
pub fn processor_nanos(pids: &[u32]) -> io::Result<u64> {
    pids.iter().map(|&pid| threads_nanos(pid).or_else(|_| ticks_nanos(pid))).sum()
}

/// The most memory that was ever resident, in KiB.
///
/// # Errors
///
/// One of the processes has ended.
pub fn peak_memory_kib(pids: &[u32]) -> io::Result<u64> {
    let peak = |&pid: &u32| {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok()).ok_or_else(unreadable)
    };
    pids.iter().map(peak).sum()
}

/// To the nanosecond, of the threads that live; a kernel without scheduler statistics has none.
fn threads_nanos(pid: u32) -> io::Result<u64> {
    let mut nanos = 0;
    for thread in fs::read_dir(format!("/proc/{pid}/task"))? {
        let text = fs::read_to_string(thread?.path().join("schedstat"))?;
        nanos += text.split(' ').next().and_then(|nanos| nanos.parse::<u64>().ok()).ok_or_else(unreadable)?;
    }
    Ok(nanos)
}

/// To a hundredth of a second.
fn ticks_nanos(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let ticks = |field| stat_field::<u64>(&stat, field).ok_or_else(unreadable);
    Ok((ticks(14)? + ticks(15)?) * TICK_NANOS)
}

/// A field by the number that proc(5) gives it. The second, the name, may contain anything, so it is skipped by its bracket.
fn stat_field<T: std::str::FromStr>(stat: &str, number: usize) -> Option<T> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number - 3)?.parse().ok()
}

fn unreadable() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel writes this in another way")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_behind_any_name() {
        let stat = "7 (a) b (c) S 3 7 7 0 -1 4194560 1 2 3 4 15 16 0 0";

        assert_eq!(stat_field::<u32>(stat, 4), Some(3));
        assert_eq!((stat_field::<u64>(stat, 14), stat_field::<u64>(stat, 15)), (Some(15), Some(16)));
        assert_eq!(stat_field::<u64>(stat, 99), None);
    }

    #[test]
    fn work_is_counted_in_both_ways() {
        let pid = std::process::id();
        let before = processor_nanos(&[pid]).expect("this process runs");
        while processor_nanos(&[pid]).expect("this process runs") < before + 30_000_000 {}

        assert!(ticks_nanos(pid).expect("this process runs") > 0);
        assert!(peak_memory_kib(&[pid]).expect("this process runs") > 500);
        assert!(processor_nanos(&[u32::MAX]).is_err());
    }
}
