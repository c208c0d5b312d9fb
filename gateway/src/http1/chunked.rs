use std::fmt;

/// The most bytes of chunk extensions and trailers in one body; both end here and mean nothing to anybody.
const MOST_EXTRAS: usize = 8 * 1024;

/// Takes a body out of its chunks (RFC 9112 section 7.1), whatever pieces it comes in.
#[derive(Clone, Copy, Debug)]
pub struct Chunks {
    state: State,
    extras: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Within the size; whether a digit has come.
    Size(u64, bool),
    Extension(u64),
    SizeFeed(u64),
    Data(u64),
    DataReturn,
    DataFeed,
    /// At the beginning of a line of trailers.
    Trailer,
    WithinTrailer,
    TrailerFeed,
    LastFeed,
    Done,
}

impl Default for Chunks {
    fn default() -> Self {
        Self { state: State::Size(0, false), extras: 0 }
    }
}

impl Chunks {
    /// Takes what it can use of `input` and appends what of it is body to `body`; returns how many bytes it took.
    /// It takes nothing beyond the end of the body.
    ///
    /// # Errors
    /// When this is not how chunks are written.
    pub fn take(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<usize, ChunkFault> {
        let mut at = 0;
        while self.state != State::Done
            && let Some(&byte) = input.get(at)
        {
            at += 1;
            self.state = match self.state {
                State::Size(size, begun) => match char::from(byte).to_digit(16) {
                    // More than sixty bits of length are no length.
                    Some(_) if size >> 60 != 0 => return Err(ChunkFault),
                    Some(digit) => State::Size(size << 4 | u64::from(digit), true),
                    None if !begun => return Err(ChunkFault),
                    None => self.after_size(size, byte)?,
                },
                State::Extension(_) if byte == b'\n' => return Err(ChunkFault),
                State::Extension(size) => self.after_size(size, if byte == b'\r' { byte } else { b';' })?,
                State::SizeFeed(_) | State::DataFeed | State::TrailerFeed | State::LastFeed
                    if byte != b'\n' =>
                {
                    return Err(ChunkFault);
                }
                State::SizeFeed(0) => State::Trailer,
                State::SizeFeed(size) => State::Data(size),
                State::Data(left) => {
                    let rest = &input[at - 1..];
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
                    body.extend_from_slice(&rest[..length]);
                    at += length - 1;
                    match left - length as u64 {
                        0 => State::DataReturn,
                        left => State::Data(left),
                    }
                }
                State::DataReturn if byte == b'\r' => State::DataFeed,
                State::DataReturn => return Err(ChunkFault),
                State::DataFeed => State::Size(0, false),
                State::Trailer if byte == b'\r' => State::LastFeed,
                State::Trailer | State::WithinTrailer if byte == b'\n' => return Err(ChunkFault),
                State::WithinTrailer if byte == b'\r' => State::TrailerFeed,
                State::Trailer | State::WithinTrailer => {
                    self.count_extra()?;
                    State::WithinTrailer
                }
                State::TrailerFeed => State::Trailer,
                State::LastFeed | State::Done => State::Done,
            };
        }
        Ok(at)
    }

    /// Whether the body is complete.
    pub fn is_done(&self) -> bool {
        self.state == State::Done
    }

    fn after_size(&mut self, size: u64, byte: u8) -> Result<State, ChunkFault> {
        match byte {
            b'\r' => Ok(State::SizeFeed(size)),
            // RFC 9112 section 7.1.1: an extension, after white space or without.
            b';' | b' ' | b'\t' => {
                self.count_extra()?;
                Ok(State::Extension(size))
            }
            _ => Err(ChunkFault),
        }
    }

    fn count_extra(&mut self) -> Result<(), ChunkFault> {
        self.extras += 1;
        if self.extras > MOST_EXTRAS { Err(ChunkFault) } else { Ok(()) }
    }
}

/// This is not how chunks are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChunkFault;

impl fmt::Display for ChunkFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the chunks of the body are malformed")
    }
}

impl std::error::Error for ChunkFault {}

#[cfg(test)]
mod tests {
    use super::*;

    /// The body and what follows it, from pieces of `step` bytes.
    fn take(raw: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>, bool), ChunkFault> {
        let (mut chunks, mut body, mut rest) = (Chunks::default(), Vec::new(), Vec::new());
        for piece in raw.chunks(step) {
            let taken = chunks.take(piece, &mut body)?;
            rest.extend_from_slice(&piece[taken..]);
        }
        Ok((body, rest, chunks.is_done()))
    }

    #[test]
    fn the_pieces_make_no_difference() {
        let raw = b"3\r\nabc\r\n0A;x=\"y\"\r\n0123456789\r\n0\r\nX-Sum: 1\r\n\r\nGET /";
        for step in 1..=raw.len() {
            let (body, rest, done) = take(raw, step).expect("it is sound");
            assert_eq!((&body[..], &rest[..], done), (&b"abc0123456789"[..], &b"GET /"[..], true), "{step}");
        }
    }

    #[test]
    fn an_unfinished_body_is_not_done() {
        for raw in
            ["", "3", "3\r\n", "3\r\nab", "3\r\nabc", "3\r\nabc\r\n", "0\r\n", "0\r\n\r", "0\r\nX: 1\r\n"]
        {
            assert!(!take(raw.as_bytes(), 64).expect("it may go on").2, "{raw:?}");
        }
    }

    #[test]
    fn odd_writing_is_refused() {
        for raw in [
            "\r\n",
            "x\r\n",
            "-1\r\n",
            "+1\r\n",
            " 1\r\n",
            "0x1\r\n",
            "1\n",
            "1\r\nab",
            "1\r\na\n",
            "1\rx",
            "0\r\n\n",
            "0\r\nX: 1\n",
            "11111111111111111\r\n",
            "1;\nx\r\nGET",
        ] {
            let raw = format!("{raw}{}", "a".repeat(20));
            assert_eq!(take(raw.as_bytes(), 64).map(drop), Err(ChunkFault), "{raw:?}");
        }
        let long = format!("1;{}", "x".repeat(MOST_EXTRAS + 1));
        assert_eq!(take(long.as_bytes(), 64).map(drop), Err(ChunkFault));
    }
}
