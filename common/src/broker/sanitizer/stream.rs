use std::{
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures_io::{AsyncRead, AsyncWrite};

use super::{FRAME_MAX, Sanitizer};

/// A stream of frames from a broker, sanitized as it is read; what is written passes.
pub(in crate::broker) struct Sanitized<S> {
    stream: S,
    sanitizer: Sanitizer,
    /// What was read and not yet handed on: up to `safe` it may be, up to `filled` it may not yet.
    buffer: Box<[u8]>,
    handed_on: usize,
    safe: usize,
    filled: usize,
}

impl<S> Sanitized<S> {
    pub(super) fn new(stream: S) -> Self {
        // Room for the longest frame that waits for its end, whatever comes before it.
        let buffer = vec![0; 2 * FRAME_MAX].into();
        Self { stream, sanitizer: Sanitizer::default(), buffer, handed_on: 0, safe: 0, filled: 0 }
    }

    /// The stream itself.
    pub(in crate::broker) fn get_ref(&self) -> &S {
        &self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Sanitized<S> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        while this.handed_on == this.safe {
            // Less than one frame is left, which moves to the beginning.
            this.buffer.copy_within(this.safe..this.filled, 0);
            this.filled -= this.safe;
            (this.handed_on, this.safe) = (0, 0);
            let read = Pin::new(&mut this.stream).poll_read(context, &mut this.buffer[this.filled..]);
            match ready!(read)? {
                // What has no end will never have one.
                0 => return Poll::Ready(Ok(0)),
                count => this.filled += count,
            }
            this.safe = this.sanitizer.sanitize(&mut this.buffer[..this.filled]);
        }
        let count = out.len().min(this.safe - this.handed_on);
        out[..count].copy_from_slice(&this.buffer[this.handed_on..][..count]);
        this.handed_on += count;
        Poll::Ready(Ok(count))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Sanitized<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().stream).poll_write_vectored(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_close(context)
    }
}
