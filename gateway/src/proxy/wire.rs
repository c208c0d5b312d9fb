use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// What has come over a connection and is not used yet.
///
/// It has memory only while it is in use, so that thousands of idle connections cost little.
#[derive(Debug, Default)]
pub struct Buffer {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
}

/// How many bytes are read at once while heads and small bodies come.
pub const HEAD_ROOM: usize = 8 * 1024;

/// How many bytes are read at once while a large body comes.
pub const BODY_ROOM: usize = 64 * 1024;

impl Buffer {
    /// What is there.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[self.from..self.to]
    }

    /// How many bytes are there.
    pub fn len(&self) -> usize {
        self.to - self.from
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.from == self.to
    }

    /// Forgets the first `count` bytes.
    pub fn consume(&mut self, count: usize) {
        self.from += count.min(self.len());
        if self.is_empty() {
            (self.from, self.to) = (0, 0);
        }
    }

    /// Makes room for `whole` bytes in all, those that are there included.
    pub fn make_room(&mut self, whole: usize) {
        if self.bytes.len() - self.from < whole {
            self.bytes.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
            if self.bytes.len() < whole {
                self.bytes.resize(whole, 0);
            }
        }
    }

    /// Whether more fits in.
    pub fn has_room(&self) -> bool {
        self.to < self.bytes.len()
    }

    /// Gives the memory back to `spares` where nothing is in it.
    pub fn rest(&mut self, spares: &Spares) {
        if self.is_empty() && !self.bytes.is_empty() {
            spares.put(std::mem::take(&mut self.bytes));
            (self.from, self.to) = (0, 0);
        }
    }

    /// Takes memory from `spares` where it has none.
    pub fn wake(&mut self, spares: &Spares) {
        if self.bytes.is_empty() {
            self.bytes = spares.take();
        }
    }

    /// Reads once into the room that is left; 0 is the end of the stream, or no room.
    pub fn poll_fill<R: AsyncRead + Unpin>(
        &mut self,
        stream: &mut R,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let mut room = ReadBuf::new(&mut self.bytes[self.to..]);
        ready!(Pin::new(stream).poll_read(context, &mut room))?;
        let count = room.filled().len();
        self.to += count;
        Poll::Ready(Ok(count))
    }
}

/// Memory that connections of one worker lend each other.
#[derive(Debug, Default)]
pub struct Spares(std::cell::RefCell<Vec<Vec<u8>>>);

/// How many are kept.
const SPARES: usize = 256;

impl Spares {
    fn take(&self) -> Vec<u8> {
        self.0.borrow_mut().pop().unwrap_or_else(|| vec![0; HEAD_ROOM])
    }

    fn put(&self, bytes: Vec<u8>) {
        let mut spares = self.0.borrow_mut();
        if bytes.len() == HEAD_ROOM && spares.len() < SPARES {
            spares.push(bytes);
        }
    }
}

/// Writes `bytes` from `*written` on, as far as the stream takes them; ready when all are written.
pub fn poll_write_all<W: AsyncWrite + Unpin>(
    stream: &mut W,
    bytes: &[u8],
    written: &mut usize,
    context: &mut Context<'_>,
) -> Poll<io::Result<()>> {
    while *written < bytes.len() {
        match ready!(Pin::new(&mut *stream).poll_write(context, &bytes[*written..]))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            count => *written += count,
        }
    }
    Poll::Ready(Ok(()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_moves_to_the_front_where_room_is_short() {
        let mut buffer = Buffer { bytes: b"0123456789".to_vec(), from: 6, to: 10 };

        buffer.make_room(8);

        assert_eq!((buffer.bytes(), buffer.bytes.len(), buffer.has_room()), (&b"6789"[..], 10, true));
        buffer.make_room(20);
        assert_eq!((buffer.bytes(), buffer.bytes.len()), (&b"6789"[..], 20));
        buffer.consume(99);
        assert!(buffer.is_empty());
    }
}
