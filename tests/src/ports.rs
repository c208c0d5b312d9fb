//! Ports that nobody else takes, not even between the end of a process and its next start.
//!
//! The kernel gives out ports from 32768 upwards, so ports below stay free while their owner is down. Each process
//! claims a block of them by listening on the block's first port for as long as it lives, and no port is given out twice.

use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::process;
use std::sync::{Mutex, PoisonError};

const FIRST: u16 = 11_000;
const BLOCKS: u16 = 80;
const BLOCK: u16 = 250;

struct Claimed {
    /// What somebody else is about to take.
    promised: Vec<u16>,
    /// The first port of every block that is this process'.
    blocks: Vec<TcpListener>,
    /// What the last of them has left.
    rest: Range<u16>,
}

static CLAIMED: Mutex<Claimed> = Mutex::new(Claimed { promised: Vec::new(), blocks: Vec::new(), rest: 0..0 });

/// Gives a port on the loopback interface that is free now, and that no other caller of this function gets.
///
/// # Panics
///
/// When every block is claimed.
pub fn free() -> u16 {
    let mut claimed = CLAIMED.lock().unwrap_or_else(PoisonError::into_inner);

    loop {
        let Claimed { promised, rest, .. } = &mut *claimed;
        if let Some(port) = rest.find(|port| !promised.contains(port) && listen(*port).is_some()) {
            return port;
        }
        let (block, rest) = claim().expect("a machine has 80 blocks of ports for its test binaries");
        claimed.blocks.push(block);
        claimed.rest = rest;
    }
}

/// Gives none of these: they are for somebody who has not taken them yet.
pub fn promise(ports: impl IntoIterator<Item = u16>) {
    CLAIMED.lock().unwrap_or_else(PoisonError::into_inner).promised.extend(ports);
}

/// Claims the first free block, beginning at one that depends on the process, so that processes rarely meet.
fn claim() -> Option<(TcpListener, Range<u16>)> {
    let start = (process::id() % u32::from(BLOCKS)) as u16;

    (0..BLOCKS).find_map(|step| {
        let first = FIRST + (start + step) % BLOCKS * BLOCK;
        listen(first).map(|block| (block, first + 1..first + BLOCK))
    })
}

fn listen(port: u16) -> Option<TcpListener> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).ok()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn no_port_is_given_twice_and_none_is_the_kernels() {
        let ports: Vec<u16> = (0..2 * BLOCK).map(|_| free()).collect();

        assert_eq!(ports.iter().collect::<BTreeSet<_>>().len(), ports.len());
        assert!(ports.iter().all(|port| (FIRST..32_768).contains(port)));
    }
}
