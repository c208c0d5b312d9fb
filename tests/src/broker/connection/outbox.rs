//! What a connection has to say and has not yet said.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::time::Duration;

use amq_protocol::protocol::AMQPClass;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout, timeout_at};

use super::super::Message;
use super::frames;

/// More than this is not asked for: consumers whose connection has so much to say get nothing more until it has said it.
const FULL: usize = 1024 * 1024;

/// More than this is not answered: nothing is read from who does not listen.
const OVERFULL: usize = 4 * FULL;

/// A buffer of this size is kept while there is nothing to say.
const KEPT: usize = 8 * 1024;

/// A client that takes nothing for so long is gone.
const STUCK: Duration = Duration::from_secs(60);

/// Longer than any heartbeat.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// The bytes that wait to be written, and whether they may be.
#[derive(Debug, Default)]
pub struct Outbox {
    bytes: RefCell<Vec<u8>>,
    wake: Notify,
    /// Told when there is room again.
    drained: Notify,
    is_full: Cell<bool>,
    is_closed: Cell<bool>,
    /// So many bytes go out, and then no more until they may: a tester's order.
    held_after: Cell<Option<usize>>,
    /// So many bytes go out, and then the process ends as if it were killed.
    crash_after: Cell<Option<usize>>,
}

impl Outbox {
    /// Appends a method.
    pub fn method(&self, channel: u16, method: AMQPClass) {
        self.append(|bytes| frames::put_method(bytes, channel, method));
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
        self.append(|bytes| {
            frames::put_method(bytes, channel, method);
            match properties {
                None => frames::put_message(bytes, channel, message, frame_max),
                Some(properties) => {
                    frames::put_content(bytes, channel, properties, message.body(), frame_max);
                }
            }
        });
    }

    /// After the last word nothing is said.
    fn append(&self, put: impl FnOnce(&mut Vec<u8>)) {
        if self.is_closed.get() {
            return;
        }
        let mut bytes = self.bytes.borrow_mut();
        put(&mut bytes);
        if bytes.len() >= FULL {
            self.is_full.set(true);
        }
        self.wake.notify_one();
    }

    /// Whether it has so much to say that nothing more should be asked for.
    pub fn is_full(&self) -> bool {
        self.is_full.get()
    }

    /// Whether it has so much to say that nothing more should be answered.
    pub fn is_overfull(&self) -> bool {
        self.bytes.borrow().len() >= OVERFULL
    }

    /// Whether it has nothing to say.
    pub fn is_empty(&self) -> bool {
        self.bytes.borrow().is_empty()
    }

    /// Returns when there is room after it was full.
    pub async fn drained(&self) {
        self.drained.notified().await;
    }

    /// Says what waits now, and then nothing until [`Outbox::release`].
    pub fn hold(&self) {
        if self.held_after.get().is_none() {
            self.held_after.set(Some(self.bytes.borrow().len()));
        }
    }

    /// Goes on where it was held.
    pub fn release(&self) {
        self.held_after.set(None);
        self.wake.notify_one();
    }

    /// Says what waits now, and then the process ends as if it were killed.
    pub fn crash_once_said(&self) {
        let said = self.bytes.borrow().len();
        self.crash_after.set(Some(self.crash_after.get().map_or(said, |earlier| earlier.min(said))));
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
        self.held_after.set(None);
        self.close();
    }

    /// Writes until the outbox is closed and empty, and shuts the socket down for writing. Shows that the broker lives
    /// where it has said nothing for so long; zero is never.
    ///
    /// # Errors
    ///
    /// The client is gone, or takes nothing any more.
    pub async fn write_to(self: Rc<Self>, mut socket: OwnedWriteHalf, heartbeat: Duration) -> io::Result<()> {
        let heartbeat = if heartbeat.is_zero() { NEVER } else { heartbeat };
        let mut spare = Vec::new();
        loop {
            if self.crash_after.get() == Some(0) {
                crash();
            }
            if self.take_what_may_go(&mut spare) {
                write(&mut socket, &spare).await?;
                spare.clear();
                if self.is_full.replace(false) {
                    self.drained.notify_one();
                }
                continue;
            }
            if self.is_closed.get() && self.held_after.get().is_none() {
                return socket.shutdown().await;
            }
            self.shrink(&mut spare);
            let is_idle = timeout(heartbeat, self.wake.notified()).await.is_err();
            if is_idle && self.held_after.get().is_none() {
                self.append(frames::put_heartbeat);
            }
        }
    }

    /// Moves what may be written to `taken`, which is empty; whether there is anything.
    fn take_what_may_go(&self, taken: &mut Vec<u8>) -> bool {
        let mut bytes = self.bytes.borrow_mut();
        let bounds = [self.held_after.get(), self.crash_after.get()];
        let count = bounds.into_iter().flatten().fold(bytes.len(), usize::min);
        if count == bytes.len() {
            std::mem::swap(&mut *bytes, taken);
        } else {
            taken.extend(bytes.drain(..count));
        }
        for bound in [&self.held_after, &self.crash_after] {
            bound.set(bound.get().map(|after| after - count));
        }
        count > 0
    }

    /// One large answer is no reason to keep so much memory for ever.
    fn shrink(&self, spare: &mut Vec<u8>) {
        for buffer in [spare, &mut *self.bytes.borrow_mut()] {
            if buffer.is_empty() && buffer.capacity() > KEPT {
                *buffer = Vec::new();
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

#[cfg(test)]
mod tests {
    use super::*;

    fn say(outbox: &Outbox, text: &[u8]) {
        outbox.append(|bytes| bytes.extend_from_slice(text));
    }

    fn taken(outbox: &Outbox) -> String {
        let mut taken = Vec::new();
        outbox.take_what_may_go(&mut taken);
        String::from_utf8(taken).expect("it is text")
    }

    #[test]
    fn what_was_said_before_a_hold_goes_out_and_the_rest_when_it_is_released() {
        let outbox = Outbox::default();
        say(&outbox, b"before");
        outbox.hold();
        say(&outbox, b"behind");

        assert_eq!(taken(&outbox), "before");
        outbox.hold();
        say(&outbox, b", too");
        assert_eq!(taken(&outbox), "");
        outbox.release();
        assert_eq!(taken(&outbox), "behind, too");
    }

    #[test]
    fn nothing_is_said_after_the_last_word() {
        let outbox = Outbox::default();
        say(&outbox, b"bye");
        outbox.close();
        say(&outbox, b"?");

        assert_eq!(taken(&outbox), "bye");
    }

    #[test]
    fn a_crash_waits_for_what_was_said_before_it_and_for_nothing_else() {
        let outbox = Outbox::default();
        say(&outbox, b"before");
        outbox.crash_once_said();
        say(&outbox, b"after");

        assert_eq!(taken(&outbox), "before");
        assert_eq!(outbox.crash_after.get(), Some(0));
    }
}
