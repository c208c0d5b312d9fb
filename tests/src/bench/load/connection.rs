use std::io;
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{Expected, NUMBER};
use crate::bench::poller::{Moved, Poller, read, write};

/// For a connection on the loopback interface, if the server's queue is full.
const CONNECT: Duration = Duration::from_secs(5);

/// An answer's head that is longer is none.
const LONGEST_HEAD: usize = 64 * 1024;

/// One connection, and the request that is under way on it.
pub(super) struct Connection {
    stream: Option<TcpStream>,
    request: Vec<u8>,
    numbers: Vec<usize>,
    sent: usize,
    answer: Vec<u8>,
    head: Option<Head>,
    body: usize,
    /// When the request that is under way was due.
    pub begun: Option<Instant>,
    /// When it was sent.
    pub sent_at: Instant,
}

/// What matters of an answer's head.
struct Head {
    status: u16,
    length: usize,
    closes: bool,
    says_when: bool,
}

/// How a request ended.
pub(super) enum End {
    Good,
    /// The server has too much to do, and says when to come again (429 or 503 with `Retry-After`).
    Refused(u16),
    Bad(String),
}

impl Connection {
    pub fn new(request: &str) -> Self {
        let numbers = request.match_indices(NUMBER).map(|(at, _)| at).collect();
        Self {
            stream: None,
            request: request.as_bytes().to_vec(),
            numbers,
            sent: 0,
            answer: Vec::new(),
            head: None,
            body: 0,
            begun: None,
            sent_at: Instant::now(),
        }
    }

    pub fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    pub fn connect(&mut self, address: SocketAddr, poller: &Poller, key: usize) -> io::Result<()> {
        let stream = TcpStream::connect_timeout(&address, CONNECT)?;
        stream.set_nonblocking(true)?;
        stream.set_nodelay(true)?;
        poller.add(&stream, key)?;
        self.stream = Some(stream);
        Ok(())
    }

    /// Begins the next request.
    pub fn begin(&mut self, due: Instant, number: u64) -> Option<End> {
        if !self.numbers.is_empty() {
            let digits = format!("{number:0width$}", width = NUMBER.len());
            for &at in &self.numbers {
                self.request[at..at + NUMBER.len()].copy_from_slice(digits.as_bytes());
            }
        }
        self.begun = Some(due);
        self.sent_at = Instant::now();
        (self.sent, self.body, self.head) = (0, 0, None);
        self.answer.clear();
        self.write()
    }

    /// Goes on after the poller has told that it can. Returns how the request ended, if it did.
    pub fn go_on(&mut self, expected: &Expected, buffer: &mut [u8], ends: bool) -> Option<End> {
        if let Some(end) = self.write() {
            return Some(end);
        }
        loop {
            let stream = self.stream.as_ref()?;
            match read(stream, buffer) {
                Moved::Bytes(count) => {
                    if let Some(end) = self.take(&buffer[..count], expected) {
                        return Some(end);
                    }
                    if count < buffer.len() && !ends {
                        return None;
                    }
                }
                Moved::NotNow => return None,
                Moved::Ended => return self.lost(),
            }
        }
    }

    fn write(&mut self) -> Option<End> {
        while self.begun.is_some() && self.sent < self.request.len() {
            match write(self.stream.as_ref()?, &self.request[self.sent..]) {
                Moved::Bytes(count) => self.sent += count,
                Moved::NotNow => break,
                Moved::Ended => return self.lost(),
            }
        }
        None
    }

    fn take(&mut self, bytes: &[u8], expected: &Expected) -> Option<End> {
        if self.begun.is_none() {
            return self.bad("an answer that nobody asked for".to_owned());
        }
        let compares = matches!(expected, Expected::Text(_));
        match &self.head {
            Some(_) => {
                self.body += bytes.len();
                if compares {
                    self.answer.extend_from_slice(bytes);
                }
            }
            None => {
                self.answer.extend_from_slice(bytes);
                match Head::parse(&self.answer) {
                    Ok(Some((head, end))) => {
                        self.head = Some(head);
                        self.answer.drain(..end);
                        self.body = self.answer.len();
                    }
                    Ok(None) if self.answer.len() < LONGEST_HEAD => return None,
                    Ok(None) => return self.bad("an answer without an end of its head".to_owned()),
                    Err(what) => return self.bad(what),
                }
            }
        }

        let head = self.head.as_ref()?;
        if self.body < head.length {
            return None;
        }
        let is_expected = match expected {
            Expected::Anything => true,
            Expected::Text(text) => self.answer == text.as_bytes(),
            Expected::Bytes(count) => self.body == *count,
        };
        let end = match head.status {
            _ if self.body > head.length => return self.bad("more than one answer".to_owned()),
            _ if self.sent < self.request.len() => {
                return self.bad(format!("{} before the request was sent", head.status));
            }
            200..=299 if is_expected => End::Good,
            200..=299 => End::Bad("another answer than the upstream's".to_owned()),
            status @ (429 | 503) if head.says_when => End::Refused(status),
            status => End::Bad(format!("status {status}")),
        };
        if head.closes {
            self.stream = None;
        }
        Some(end)
    }

    /// The connection has ended, which matters only to a request that was under way.
    fn lost(&mut self) -> Option<End> {
        self.stream = None;
        self.begun?;
        let what = if self.head.is_some() || !self.answer.is_empty() {
            "cut off in the answer"
        } else {
            "connection lost"
        };
        Some(End::Bad(what.to_owned()))
    }

    fn bad(&mut self, what: String) -> Option<End> {
        self.stream = None;
        Some(End::Bad(what))
    }
}

impl Head {
    /// Returns it with its length once it is whole.
    fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, String> {
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut response = httparse::Response::new(&mut headers);
        let end = match response.parse(bytes) {
            Ok(httparse::Status::Complete(end)) => end,
            Ok(httparse::Status::Partial) => return Ok(None),
            Err(error) => return Err(format!("no HTTP: {error}")),
        };
        let value = |name: &str| {
            let header = response.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            header.and_then(|header| std::str::from_utf8(header.value).ok())
        };
        let length = value("content-length").and_then(|length| length.trim().parse().ok());
        let head = Self {
            status: response.code.unwrap_or_default(),
            length: length.ok_or("an answer without a length")?,
            closes: value("connection").is_some_and(|options| options.eq_ignore_ascii_case("close")),
            says_when: value("retry-after").is_some(),
        };
        Ok(Some((head, end)))
    }
}
