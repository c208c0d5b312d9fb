use std::{
    io,
    task::{Context, Poll},
};

use tokio::io::AsyncWrite;

use super::{
    answer::Ending,
    body::{LAST_CHUNK, write_chunk},
    wire::{Buffer, poll_write_all},
};
use crate::http1::{AnswerLength, Chunks};

/// What is left of an answer's body, and how its bytes are laid out for the client.
pub struct Download {
    rest: Rest,
    ending: Ending,
    until_closed: bool,
    /// Where chunks are taken apart.
    body: Vec<u8>,
}

enum Rest {
    Length(u64),
    Chunks(Chunks),
    UntilClosed,
    Nothing,
}

/// Why the rest of an answer does not come.
const BROKEN_OFF: &str = "the service broke off";

impl Download {
    pub fn new(length: AnswerLength, ending: Ending) -> Self {
        let rest = match length {
            AnswerLength::None => Rest::Nothing,
            AnswerLength::Known(length) => Rest::Length(length),
            AnswerLength::Chunked => Rest::Chunks(Chunks::default()),
            AnswerLength::UntilClosed => Rest::UntilClosed,
        };
        let until_closed = matches!(rest, Rest::UntilClosed);
        Self { rest, ending, until_closed, body: Vec::new() }
    }

    /// Whether the body is complete.
    pub fn is_complete(&self) -> bool {
        matches!(self.rest, Rest::Nothing | Rest::Length(0))
    }

    /// Whether the service's connection did not have to end for the body to end.
    pub fn leaves_the_connection_open(&self) -> bool {
        !self.until_closed
    }

    /// Lays out in `out` what is at hand; returns whether the body is complete.
    ///
    /// # Errors
    /// When what came is no body.
    pub fn take(&mut self, incoming: &mut Buffer, out: &mut Vec<u8>) -> Result<bool, &'static str> {
        match &mut self.rest {
            Rest::Nothing => {}
            Rest::Length(left) => {
                let count = usize::try_from(*left).unwrap_or(usize::MAX).min(incoming.len());
                out.extend_from_slice(&incoming.bytes()[..count]);
                incoming.consume(count);
                *left -= count as u64;
            }
            Rest::UntilClosed => {
                let count = incoming.len();
                write_piece(incoming.bytes(), self.ending, out);
                incoming.consume(count);
            }
            Rest::Chunks(chunks) => {
                self.body.clear();
                let taken = chunks
                    .take(incoming.bytes(), &mut self.body)
                    .map_err(|_| "the chunks of the answer are malformed")?;
                incoming.consume(taken);
                write_piece(&self.body, self.ending, out);
                if chunks.is_done() {
                    self.rest = Rest::Nothing;
                    write_end(self.ending, out);
                }
            }
        }
        Ok(self.is_complete())
    }

    /// As [`take`](Self::take), but leaves what can go out as it is to [`poll_pass`](Self::poll_pass).
    pub fn take_more(&mut self, incoming: &mut Buffer, out: &mut Vec<u8>) -> Result<bool, &'static str> {
        if self.is_plain() { Ok(self.is_complete()) } else { self.take(incoming, out) }
    }

    /// Writes what is at hand straight on, where nothing has to be laid out anew.
    pub fn poll_pass<W: AsyncWrite + Unpin>(
        &mut self,
        incoming: &mut Buffer,
        client: &mut W,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let count = match &self.rest {
            Rest::Length(left) => usize::try_from(*left).unwrap_or(usize::MAX).min(incoming.len()),
            Rest::UntilClosed if self.ending == Ending::Close => incoming.len(),
            _ => 0,
        };
        let mut written = 0;
        let outcome = poll_write_all(client, &incoming.bytes()[..count], &mut written, context);
        incoming.consume(written);
        if let Rest::Length(left) = &mut self.rest {
            *left -= written as u64;
        }
        outcome
    }

    /// The service's connection has ended: so does the body, or it breaks off.
    ///
    /// # Errors
    /// When it breaks off.
    pub fn ended(&mut self, out: &mut Vec<u8>) -> Result<(), &'static str> {
        match self.rest {
            Rest::UntilClosed => {
                self.rest = Rest::Nothing;
                write_end(self.ending, out);
                Ok(())
            }
            _ => Err(BROKEN_OFF),
        }
    }

    fn is_plain(&self) -> bool {
        match self.rest {
            Rest::Length(_) => true,
            Rest::UntilClosed => self.ending == Ending::Close,
            _ => false,
        }
    }
}

fn write_piece(body: &[u8], ending: Ending, out: &mut Vec<u8>) {
    match ending {
        Ending::Chunks => write_chunk(body, out),
        _ => out.extend_from_slice(body),
    }
}

fn write_end(ending: Ending, out: &mut Vec<u8>) {
    if ending == Ending::Chunks {
        out.extend_from_slice(LAST_CHUNK);
    }
}
