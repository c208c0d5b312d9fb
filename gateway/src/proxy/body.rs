use std::{
    io::Write,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use tokio::net::tcp::{ReadHalf, WriteHalf};

use super::{
    alarm::Alarm,
    wire::{BODY_ROOM, Buffer, poll_write_all},
};
use crate::http1::Chunks;

/// What a client did wrong while its request was on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyFault {
    /// It was silent for too long.
    Slow,
    /// What came is no body.
    Malformed,
    /// It sent more than it may.
    TooLarge,
    /// It left.
    Gone,
}

/// The client's side of an exchange: carries what is left of the request's body to the service, and after that
/// notices when the client leaves.
pub struct Upload<'a> {
    client: ReadHalf<'a>,
    buffer: &'a mut Buffer,
    rest: Rest,
    /// How long the client may be silent within the body.
    idle: Duration,
    alarm: Option<Alarm>,
}

/// What is left of a request's body.
#[derive(Debug)]
pub enum Rest {
    /// Nothing: the service has it all.
    Nothing,
    /// So many bytes.
    Length(u64),
    /// Chunks.
    Chunks(Rechunk),
    /// The service does not want it.
    Unwanted,
}

/// A body that comes in chunks and goes on in others.
#[derive(Debug, Default)]
pub struct Rechunk {
    chunks: Chunks,
    passed: u64,
    most: u64,
    body: Vec<u8>,
    out: Vec<u8>,
    written: usize,
}

impl Rechunk {
    /// A body of at most `most` bytes.
    pub fn new(most: u64) -> Self {
        Self { most, ..Self::default() }
    }
}

impl<'a> Upload<'a> {
    pub fn new(client: ReadHalf<'a>, buffer: &'a mut Buffer, rest: Rest, idle: Duration) -> Self {
        // What the client sends beyond this request waits in a buffer of the usual size.
        if matches!(rest, Rest::Length(_) | Rest::Chunks(_)) {
            buffer.make_room(BODY_ROOM);
        }
        Self { client, buffer, rest, idle, alarm: None }
    }

    /// Forgets the body at the front of the buffer, which will not be sent again.
    pub fn forget(&mut self, body: usize) {
        self.buffer.consume(body);
    }

    /// Whether the service has the whole request.
    pub fn is_done(&self) -> bool {
        matches!(self.rest, Rest::Nothing)
    }

    /// Whether the client has not sent all of its body, and the service would take more.
    pub fn waits_for_the_client(&self) -> bool {
        self.alarm.is_some() && !matches!(self.rest, Rest::Nothing | Rest::Unwanted)
    }

    /// Goes on; ready only when something went wrong. Without a `service` there is nothing left to carry.
    pub fn poll(
        &mut self,
        service: Option<&mut WriteHalf<'_>>,
        context: &mut Context<'_>,
    ) -> Poll<BodyFault> {
        if let Some(service) = service {
            loop {
                match self.poll_carry(service, context) {
                    Poll::Ready(Ok(true)) => {}
                    Poll::Ready(Ok(false)) => break,
                    Poll::Ready(Err(fault)) => return Poll::Ready(fault),
                    Poll::Pending => return self.poll_idle(context),
                }
            }
        }
        // What comes now belongs to the next request; where there is no more room for it, nobody looks.
        while matches!(self.rest, Rest::Nothing) && self.buffer.has_room() {
            match self.buffer.poll_fill(&mut self.client, context) {
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(BodyFault::Gone),
                Poll::Ready(Ok(_)) => {}
                Poll::Pending => break,
            }
        }
        Poll::Pending
    }

    /// Carries a piece; true if there may be more.
    fn poll_carry(
        &mut self,
        service: &mut WriteHalf<'_>,
        context: &mut Context<'_>,
    ) -> Poll<Result<bool, BodyFault>> {
        let moved = match &mut self.rest {
            Rest::Nothing | Rest::Unwanted => return Poll::Ready(Ok(false)),
            Rest::Length(0) => {
                self.rest = Rest::Nothing;
                return Poll::Ready(Ok(false));
            }
            Rest::Length(left) if !self.buffer.is_empty() => {
                let most = usize::try_from(*left).unwrap_or(usize::MAX).min(self.buffer.len());
                let mut written = 0;
                let outcome = poll_write_all(service, &self.buffer.bytes()[..most], &mut written, context);
                self.buffer.consume(written);
                *left -= written as u64;
                outcome
            }
            Rest::Chunks(rechunk) if rechunk.written < rechunk.out.len() => {
                poll_write_all(service, &rechunk.out, &mut rechunk.written, context)
            }
            Rest::Chunks(rechunk) if rechunk.chunks.is_done() => {
                self.rest = Rest::Nothing;
                return Poll::Ready(Ok(false));
            }
            Rest::Chunks(rechunk) if !self.buffer.is_empty() => {
                let taken = rechunk.take(self.buffer.bytes())?;
                self.buffer.consume(taken);
                return Poll::Ready(Ok(true));
            }
            Rest::Length(_) | Rest::Chunks(_) => return self.poll_read(context),
        };
        match moved {
            Poll::Ready(Ok(())) => Poll::Ready(Ok(true)),
            Poll::Ready(Err(_)) => {
                // A service that has read enough may still answer.
                self.rest = Rest::Unwanted;
                Poll::Ready(Ok(false))
            }
            Poll::Pending => {
                // It waits for the service, which is none of the client's fault.
                self.alarm = None;
                Poll::Pending
            }
        }
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<bool, BodyFault>> {
        match self.buffer.poll_fill(&mut self.client, context) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(Err(BodyFault::Gone)),
            Poll::Ready(Ok(_)) => {
                self.alarm = None;
                Poll::Ready(Ok(true))
            }
            Poll::Pending => {
                let idle = self.idle;
                self.alarm.get_or_insert_with(|| Alarm::at(Instant::now() + idle));
                Poll::Pending
            }
        }
    }

    fn poll_idle(&mut self, context: &mut Context<'_>) -> Poll<BodyFault> {
        match &mut self.alarm {
            Some(alarm) => alarm.poll_due(context).map(|()| BodyFault::Slow),
            None => Poll::Pending,
        }
    }
}

impl Rechunk {
    /// Takes bytes as the client sent them and lays out what the service gets.
    fn take(&mut self, input: &[u8]) -> Result<usize, BodyFault> {
        self.body.clear();
        let taken = self.chunks.take(input, &mut self.body).map_err(|_| BodyFault::Malformed)?;
        self.passed += self.body.len() as u64;
        if self.passed > self.most {
            return Err(BodyFault::TooLarge);
        }
        self.out.clear();
        self.written = 0;
        write_chunk(&self.body, &mut self.out);
        if self.chunks.is_done() {
            self.out.extend_from_slice(LAST_CHUNK);
        }
        Ok(taken)
    }
}

/// Ends a body of chunks, without trailers.
pub const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Appends `body` as one chunk; nothing where it is empty, for that would be the last one.
pub fn write_chunk(body: &[u8], out: &mut Vec<u8>) {
    if !body.is_empty() {
        // Writing to memory does not fail.
        let _ = write!(out, "{:x}\r\n", body.len());
        out.extend_from_slice(body);
        out.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::Index};

    use super::*;

    #[test]
    fn chunks_go_on_as_others_with_the_same_bytes_and_without_what_was_beside_them() {
        let mut rechunk = Rechunk::new(10);

        let raw = b"3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        let taken = rechunk.take(raw).expect("it is sound");

        assert_eq!(rechunk.out, b"5\r\nabcde\r\n0\r\n\r\n");
        assert_eq!(&raw[taken..], b"GET /");
    }

    #[test]
    fn a_body_that_grows_beyond_its_limit_is_refused() {
        let mut rechunk = Rechunk::new(4);

        assert_eq!(rechunk.take(b"4\r\nabcd\r\n"), Ok(9));
        assert_eq!(rechunk.take(b"1\r\ne\r\n"), Err(BodyFault::TooLarge));
        assert_eq!(Rechunk::new(4).take(b"x"), Err(BodyFault::Malformed));
    }

    proptest! {
        #[test]
        fn a_body_is_the_same_in_the_chunks_that_the_service_gets(
            parts in vec(vec(any::<u8>(), 1..40), 0..6),
            at in vec(any::<Index>(), 0..10),
            next in vec(any::<u8>(), 0..9),
        ) {
            let mut raw = Vec::new();
            for part in &parts {
                raw.extend(format!("{:X};x=y\r\n", part.len()).into_bytes());
                raw.extend(part);
                raw.extend(b"\r\n");
            }
            raw.extend(b"0\r\nX-Sum: 1\r\n\r\n");
            let length = raw.len();
            raw.extend(&next);
            let mut places: Vec<_> = at.iter().map(|index| index.index(length + 1)).chain([length]).collect();
            places.sort_unstable();
            let (mut rechunk, mut laid_out, mut from) = (Rechunk::new(u64::MAX), Vec::new(), 0);

            for to in places {
                // What follows the body is at hand as well with the last piece.
                let to = if to == length { raw.len() } else { to };
                if from < length {
                    from += rechunk.take(&raw[from..to]).expect("it is sound");
                    laid_out.extend_from_slice(&rechunk.out);
                }
            }

            prop_assert_eq!(from, length, "and nothing of what follows");
            let (mut chunks, mut body) = (Chunks::default(), Vec::new());
            prop_assert_eq!(chunks.take(&laid_out, &mut body), Ok(laid_out.len()));
            prop_assert!(chunks.is_done() && laid_out.ends_with(b"0\r\n\r\n"));
            prop_assert_eq!(body, parts.concat());
        }
    }
}
