//! The kernel's notices of ready sockets, for the two programs here that must cost next to nothing: load and upstream.

use std::io;
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};

/// Most sockets that one call reports.
const AT_ONCE: usize = 256;

/// Watches sockets, edge-triggered in both directions: each is registered once and never again.
pub(super) struct Poller {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
}

impl Poller {
    pub fn new() -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        Ok(Self { epoll, events: Vec::with_capacity(AT_ONCE) })
    }

    /// Watches a socket, which is reported by `key` until it is closed.
    pub fn add(&self, socket: impl AsFd, key: usize) -> io::Result<()> {
        use epoll::EventFlags;

        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, epoll::EventData::new_u64(key as u64), flags)?;
        Ok(())
    }

    /// Waits until a watched socket may go on, at most so long, and adds those to `ready`.
    pub fn wait(&mut self, at_most: Option<Duration>, ready: &mut Vec<Ready>) -> io::Result<()> {
        let timeout = at_most.map(|time| Timespec {
            tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(time.subsec_nanos()),
        });
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout.as_ref()) {
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
        let ends = epoll::EventFlags::RDHUP | epoll::EventFlags::HUP | epoll::EventFlags::ERR;
        ready.extend(self.events.iter().map(|event| {
            // A copy, because the kernel's event is packed.
            let flags = event.flags;
            Ready { key: event.data.u64() as usize, ends: flags.intersects(ends) }
        }));
        Ok(())
    }
}

/// A socket that may go on.
#[derive(Clone, Copy)]
pub(super) struct Ready {
    pub key: usize,
    /// The other side has ended the connection. Nothing more is told of this socket, so it is to be read to its end; after
    /// any other notice a short read is the last one.
    pub ends: bool,
}

/// What one call on a socket that never waits has brought.
pub(super) enum Moved {
    /// So many bytes, at least one.
    Bytes(usize),
    /// Nothing now; the poller will tell.
    NotNow,
    /// The connection has ended, in good order or not.
    Ended,
}

/// Reads what is there.
pub(super) fn read(stream: &TcpStream, buffer: &mut [u8]) -> Moved {
    moved(|| io::Read::read(&mut &*stream, buffer))
}

/// Writes what there is room for.
pub(super) fn write(stream: &TcpStream, bytes: &[u8]) -> Moved {
    moved(|| io::Write::write(&mut &*stream, bytes))
}

fn moved(mut call: impl FnMut() -> io::Result<usize>) -> Moved {
    loop {
        return match call() {
            Ok(0) => Moved::Ended,
            Ok(count) => Moved::Bytes(count),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Moved::NotNow,
            Err(_) => Moved::Ended,
        };
    }
}
