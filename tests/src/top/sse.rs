//! Server-sent events, as the HTML standard writes them ("event stream interpretation").

/// The state of a large system is far from this; what comes without an end is not kept.
const LONGEST: usize = 8 << 20;

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    /// Its type.
    pub name: String,
    pub data: String,
}

/// Makes events of the bytes of a stream, however they are cut.
#[derive(Debug, Default)]
pub(super) struct Parser {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
    event: Event,
}

impl Parser {
    /// Takes bytes in and returns the events that they complete.
    ///
    /// # Errors
    ///
    /// An event is longer than any state can be.
    pub fn push(&mut self, bytes: &[u8]) -> Result<Vec<Event>, &'static str> {
        let mut events = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            self.begun.extend_from_slice(part);
            if self.begun.len() + self.event.data.len() > LONGEST {
                return Err("the stream of events has one without an end");
            }
            if let Some(line) = self.begun.strip_suffix(b"\n") {
                let line = String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned();
                self.begun.clear();
                events.extend(self.line(&line));
            }
        }
        Ok(events)
    }

    fn line(&mut self, line: &str) -> Option<Event> {
        if line.is_empty() {
            let mut event = std::mem::take(&mut self.event);
            // The last line feed belongs to no line.
            event.data.pop()?;
            return Some(event);
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "event" => value.clone_into(&mut self.event.name),
            "data" => {
                self.event.data.push_str(value);
                self.event.data.push('\n');
            }
            // A comment, which keeps the connection open, or a field that is not for us.
            _ => {}
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] = b": hello\r\nevent: state\r\ndata: {\"a\":\r\ndata:1}\r\n\r\nid: 7\nretry: 5\n\ndata\n\nevent: receipt\ndata: \xc3\xa9\n\ndata: unfinished";

    fn event(name: &str, data: &str) -> Event {
        Event { name: name.into(), data: data.into() }
    }

    #[test]
    fn events_are_the_same_however_the_bytes_are_cut() {
        let expected = [event("state", "{\"a\":\n1}"), event("", ""), event("receipt", "é")];
        for size in 1..STREAM.len() {
            let mut parser = Parser::default();
            let events: Vec<_> =
                STREAM.chunks(size).flat_map(|bytes| parser.push(bytes).expect("it is short")).collect();
            assert_eq!(events, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn an_event_without_an_end_is_given_up() {
        let mut parser = Parser::default();
        let line = [b"data: ".as_slice(), &[b'x'; 1 << 20], b"\n"].concat();

        let refused = (0..100).find(|_| parser.push(&line).is_err());

        assert_eq!(refused, Some(7));
    }
}
