//! What a connection has to say and has not yet said.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use amq_protocol::protocol::AMQPClass;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use super::super::Message;
use super::frames;

/// More than this is not asked for: consumers whose connection has so much to say get nothing more until it has said it.
const FULL: usize = 1024 * 1024;

/// A client that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(60);

/// The bytes that wait to be written, and whether they may be.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: RefCell<Vec<u8>>,
    wake: Notify,
    /// Told when there is room again.
    drained: Notify,
    is_full: Cell<bool>,
    is_held: Cell<bool>,
    is_closed: Cell<bool>,
    once_empty: Cell<Option<Then>>,
    /// When something was last written: the next heartbeat counts from there.
    written_at: Cell<Option<Instant>>,
}

/// What a tester wants to happen as soon as everything is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Nothing more is written until it is released.
    Hold,
    /// The process ends as if it were killed.
    Crash,
}

impl Outbox {
    /// Appends a method.
    pub fn method(&self, channel: u16, method: AMQPClass) {
        frames::put_method(&mut self.bytes.borrow_mut(), channel, method);
        self.wake.notify_one();
    }

    /// Appends a method and the message that belongs to it, with properties that are not quite its own.
    pub fn content(
        &self,
        channel: u16,
        method: AMQPClass,
        message: &Message,
        properties: Option<&[u8]>,
        frame_max: u32,
    ) {
        let mut bytes = self.bytes.borrow_mut();
        frames::put_method(&mut bytes, channel, method);
        match properties {
            None => frames::put_message(&mut bytes, channel, message, frame_max),
            Some(properties) => {
                frames::put_content(&mut bytes, channel, properties, message.body(), frame_max);
            }
        }
        self.is_full.set(bytes.len() >= FULL);
        self.wake.notify_one();
    }

    /// Appends a heartbeat, if nothing else was said for so long.
    pub fn heartbeat(&self, every: Duration) {
        if self.written_at.get().is_none_or(|at| at.elapsed() >= every) && self.bytes.borrow().is_empty() {
            frames::put_heartbeat(&mut self.bytes.borrow_mut());
            self.wake.notify_one();
        }
    }

    /// Whether it has so much to say that nothing more should be asked for.
    pub fn is_full(&self) -> bool {
        self.is_full.get()
    }

    /// Whether it has nothing to say.
    pub fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    /// Returns when there is room after it was full.
    pub async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Writes nothing from now on, or writes again.
    pub fn hold(&self, is_held: bool) {
        self.is_held.set(is_held);
        self.wake.notify_one();
    }

    /// Says what waits, and then this happens.
    pub fn then(&self, then: Then) {
        self.once_empty.set(Some(then));
        self.wake.notify_one();
    }

    /// Says what waits, and then no more.
    pub fn close(&self) {
        self.is_closed.set(true);
        self.wake.notify_one();
    }

    /// Says nothing more at all.
    pub fn discard(&self) {
        self.bytes.borrow_mut().clear();
        self.is_held.set(false);
        self.close();
    }

    /// Writes until the outbox is closed and empty, and shuts the socket down for writing.
    ///
    /// # Errors
    ///
    /// The client is gone, or takes nothing any more.
    pub async fn write_to(self: Rc<Self>, mut socket: OwnedWriteHalf) -> io::Result<()> {
        let mut spare = Vec::with_capacity(8 * 1024);
        loop {
            if self.bytes.borrow().is_empty() {
                match self.once_empty.take() {
                    Some(Then::Hold) => self.is_held.set(true),
                    Some(Then::Crash) => crash(),
                    None => {}
                }
            }
            if self.is_held.get() || self.bytes.borrow().is_empty() {
                if self.is_closed.get() && !self.is_held.get() {
                    return socket.shutdown().await;
                }
                self.wake.notified().await;
                continue;
            }
            spare.clear();
            spare = self.bytes.replace(spare);
            write(&mut socket, &spare).await?;
            self.written_at.set(Some(Instant::now()));
            if self.is_full.replace(false) {
                self.drained.notify_one();
            }
            // One large answer is no reason to keep so much memory for ever.
            if spare.capacity() > FULL {
                spare = Vec::with_capacity(8 * 1024);
            }
        }
    }
}

/// Ends this process at once, as `kill -9` does: nothing is flushed, closed or said.
pub fn crash() {
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

/// Writes all; the deadline is for a client that takes nothing, not for one that is slow.
async fn write(socket: &mut OwnedWriteHalf, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match timeout_at(Instant::now() + STUCK, socket.write(bytes)).await {
            Ok(Ok(0)) | Err(_) => return Err(io::ErrorKind::TimedOut.into()),
            Ok(written) => bytes = &bytes[written?..],
        }
    }
    Ok(())
}
