use std::{
    future::poll_fn,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::{
    io::{AsyncRead, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
};

use super::{
    alarm::Alarm,
    lines::Line,
    wire::{Buffer, poll_write_all},
    worker::Worker,
};

/// Makes one of two connections: carries bytes both ways until both sides have ended, one breaks, neither has
/// said anything for `idle`, or the gateway stops. `out` goes to the client first.
pub async fn carry(
    client: &mut TcpStream,
    from_client: &mut Buffer,
    line: &mut Line,
    out: &[u8],
    (alarm, idle): (&mut Alarm, Duration),
    worker: &Worker,
) {
    let (mut client_reader, mut client_writer) = client.split();
    let (mut service_reader, mut service_writer) = line.stream.split();
    let mut upward = Direction::default();
    let mut downward = Direction { first: out.to_vec(), ..Direction::default() };
    alarm.set(Instant::now() + idle);
    poll_fn(|context| {
        let up = upward.poll(&mut client_reader, from_client, &mut service_writer, context);
        let down = downward.poll(&mut service_reader, &mut line.buffer, &mut client_writer, context);
        if upward.moved | downward.moved {
            (upward.moved, downward.moved) = (false, false);
            alarm.set(Instant::now() + idle);
        }
        match (up, down) {
            (Poll::Ready(false), _) | (_, Poll::Ready(false)) => Poll::Ready(()),
            (Poll::Ready(true), Poll::Ready(true)) => Poll::Ready(()),
            _ if worker.is_closing() => Poll::Ready(()),
            _ => alarm.poll_due(context),
        }
    })
    .await;
    // What breaks, breaks on both sides.
    let _ = client_writer.shutdown().await;
    let _ = service_writer.shutdown().await;
}

/// Bytes on their way in one direction.
#[derive(Debug, Default)]
struct Direction {
    /// What goes out before anything that is read.
    first: Vec<u8>,
    written: usize,
    ended: bool,
    closed: bool,
    /// Whether anything has moved since somebody looked.
    moved: bool,
}

impl Direction {
    /// Goes on; ready with true at the end, with false when it breaks.
    fn poll<R: AsyncRead + Unpin, W: AsyncWrite + Unpin>(
        &mut self,
        from: &mut R,
        buffer: &mut Buffer,
        to: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<bool> {
        loop {
            match poll_write_all(to, &self.first, &mut self.written, context) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
            let mut written = 0;
            let wrote = poll_write_all(to, buffer.bytes(), &mut written, context);
            buffer.consume(written);
            self.moved |= written > 0;
            match wrote {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
            if self.ended {
                if !self.closed {
                    match std::pin::Pin::new(&mut *to).poll_shutdown(context) {
                        Poll::Ready(_) => self.closed = true,
                        Poll::Pending => return Poll::Pending,
                    }
                }
                return Poll::Ready(true);
            }
            match buffer.poll_fill(from, context) {
                Poll::Ready(Ok(0)) => self.ended = true,
                Poll::Ready(Ok(_)) => self.moved = true,
                Poll::Ready(Err(_)) => return Poll::Ready(false),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}
