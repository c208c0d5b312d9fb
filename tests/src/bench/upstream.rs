//! The service behind every proxy: the cheapest HTTP/1.1 server that a proxy cannot tell from a real one.
//!
//! One thread, one read and one write a request. It answers a GET with a short JSON, or a large one below `/large`, and a
//! POST with the number of bytes it was sent.

use std::io;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::rc::Rc;

use super::poller::{Moved, Poller, Ready, read, write};
use super::token;

/// What a GET is answered with: as long as a user of the real service.
pub const SMALL: &str = concat!(
    r#"{"id":"u1","name":"Ada Lovelace","email":"ada@example.com","createdAt":"2026-01-01T00:00:00Z","#,
    r#""orderCount":12345,"lastOrderAt":"2026-06-30T12:34:56.789012Z"}"#
);

/// The size of the large answer.
pub const LARGE: usize = 1 << 20;

/// The head of a request that is longer is none.
const LONGEST_HEAD: usize = 16 * 1024;

/// The answer to a POST of `bytes`.
pub fn counted(bytes: u64) -> String {
    format!(r#"{{"bytes":{bytes}}}"#)
}

/// Serves on a port of the loopback interface for ever.
///
/// # Errors
///
/// The port is taken, or the system has no epoll left.
pub(super) fn serve(port: u16) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))?;
    listener.set_nonblocking(true)?;
    let mut poller = Poller::new()?;
    poller.add(&listener, 0)?;
    let answers = Answers::new();
    let mut connections: Vec<Option<Connection>> = vec![None];
    let mut free = Vec::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut ready = Vec::new();

    loop {
        ready.clear();
        poller.wait(None, &mut ready)?;
        for &Ready { key, ends } in &ready {
            if key == 0 {
                while let Ok((stream, _)) = listener.accept() {
                    stream.set_nonblocking(true)?;
                    stream.set_nodelay(true)?;
                    let key = free.pop().unwrap_or_else(|| {
                        connections.push(None);
                        connections.len() - 1
                    });
                    poller.add(&stream, key)?;
                    connections[key] = Some(Connection::new(stream));
                }
            } else if let Some(connection) = &mut connections[key]
                && connection.go_on(&answers, &mut buffer, ends).is_err()
            {
                connections[key] = None;
                free.push(key);
            }
        }
    }
}

/// The answers, whole.
struct Answers {
    small: Rc<[u8]>,
    large: Rc<[u8]>,
    ready: Rc<[u8]>,
    keys: Rc<[u8]>,
}

impl Answers {
    fn new() -> Self {
        Self {
            small: answer("200 OK", SMALL),
            large: answer("200 OK", &"x".repeat(LARGE)),
            ready: answer("200 OK", r#"{"status":"ready"}"#),
            keys: answer("200 OK", token::KEYS),
        }
    }

    fn to_get(&self, path: &str) -> Rc<[u8]> {
        match path {
            "/health/ready" => self.ready.clone(),
            "/.well-known/jwks.json" => self.keys.clone(),
            _ if path.ends_with("/large") => self.large.clone(),
            _ => self.small.clone(),
        }
    }
}

fn answer(status: &str, body: &str) -> Rc<[u8]> {
    let length = body.len();
    format!("HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
        .into_bytes()
        .into()
}

/// The connection is over.
struct Over;

struct Connection {
    stream: TcpStream,
    /// The beginning of a head that has not come whole.
    head: Vec<u8>,
    /// The body that is coming: its size, and how much of it is still to come.
    body: Option<(u64, u64)>,
    /// An answer that did not fit into the socket, from this byte on.
    unsent: Option<(Rc<[u8]>, usize)>,
}

impl Connection {
    fn new(stream: TcpStream) -> Self {
        Self { stream, head: Vec::new(), body: None, unsent: None }
    }

    fn go_on(&mut self, answers: &Answers, buffer: &mut [u8], ends: bool) -> Result<(), Over> {
        if let Some((answer, from)) = self.unsent.take() {
            self.send(answer, from)?;
        }
        loop {
            match read(&self.stream, buffer) {
                Moved::Bytes(count) => {
                    self.take(&buffer[..count], answers)?;
                    // The poller tells of what comes after a short read.
                    if count < buffer.len() && !ends {
                        return Ok(());
                    }
                }
                Moved::NotNow => return Ok(()),
                Moved::Ended => return Err(Over),
            }
        }
    }

    fn take(&mut self, fresh: &[u8], answers: &Answers) -> Result<(), Over> {
        let mut joined = std::mem::take(&mut self.head);
        let mut bytes = fresh;
        if !joined.is_empty() {
            joined.extend_from_slice(fresh);
            bytes = &joined;
        }
        while !bytes.is_empty() {
            if let Some((size, left)) = self.body {
                let here = left.min(bytes.len() as u64);
                bytes = &bytes[here as usize..];
                self.body = Some((size, left - here));
                if here == left {
                    self.body = None;
                    self.send(answer("201 Created", &counted(size)), 0)?;
                }
                continue;
            }

            let mut headers = [httparse::EMPTY_HEADER; 64];
            let mut request = httparse::Request::new(&mut headers);
            match request.parse(bytes) {
                Ok(httparse::Status::Complete(end)) => {
                    let path = request.path.unwrap_or_default();
                    match request
                        .headers
                        .iter()
                        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
                    {
                        Some(length) => {
                            let size = std::str::from_utf8(length.value)
                                .ok()
                                .and_then(|size| size.parse().ok())
                                .ok_or(Over)?;
                            self.body = Some((size, size)).filter(|_| size > 0);
                            if size == 0 {
                                self.send(answers.to_get(path), 0)?;
                            }
                        }
                        None if request.method == Some("GET") => self.send(answers.to_get(path), 0)?,
                        None => {
                            self.send(answer("411 Length Required", "{}"), 0)?;
                            return Err(Over);
                        }
                    }
                    bytes = &bytes[end..];
                }
                Ok(httparse::Status::Partial) if bytes.len() < LONGEST_HEAD => {
                    self.head = bytes.to_vec();
                    return Ok(());
                }
                _ => return Err(Over),
            }
        }
        Ok(())
    }

    fn send(&mut self, answer: Rc<[u8]>, mut from: usize) -> Result<(), Over> {
        // A proxy sends its next request after the answer to the last one. Whoever does not is no contestant.
        if self.unsent.is_some() {
            return Err(Over);
        }
        while from < answer.len() {
            match write(&self.stream, &answer[from..]) {
                Moved::Bytes(count) => from += count,
                Moved::NotNow => {
                    self.unsent = Some((answer, from));
                    return Ok(());
                }
                Moved::Ended => return Err(Over),
            }
        }
        Ok(())
    }
}
