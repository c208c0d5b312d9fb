use std::fmt;

use super::{
    Field, FieldName, Slots,
    request::{decimal, nominated, options},
};

/// How long an answer's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnswerLength {
    /// There is none, whatever the fields say (to HEAD; 204, 304).
    None,
    /// So many bytes.
    Known(u64),
    /// As many as come, in chunks.
    Chunked,
    /// As many as come until the connection ends.
    UntilClosed,
}

/// The head of a service's answer, read and found sound.
#[derive(Debug)]
pub struct ResponseHead<'h, 'b> {
    /// The status code, 100 to 999.
    pub status: u16,
    /// The words beside it.
    pub reason: &'b str,
    /// Whether it came as HTTP/1.0.
    pub old: bool,
    /// Every field.
    pub fields: &'h [Field<'b>],
    /// The body.
    pub length: AnswerLength,
    /// What `Content-Length` says; of a body that is not sent, too (to HEAD; 304).
    pub said_length: Option<u64>,
    /// Whether the service goes on with the connection.
    pub keep_alive: bool,
    /// Whether the service says when to ask again.
    pub retry_after: bool,
    /// Whether the service says when the answer was made.
    pub dated: bool,
    nominates: bool,
}

impl<'h, 'b> ResponseHead<'h, 'b> {
    /// Reads a head whose end is known; `to_head` says that it answers a HEAD.
    ///
    /// # Errors
    /// When it is not sound.
    pub fn read(bytes: &'b [u8], slots: &'h mut Slots<'b>, to_head: bool) -> Result<Self, BadAnswer> {
        let mut raw = httparse::Response::new(&mut []);
        let config = httparse::ParserConfig::default();
        match config.parse_response_with_uninit_headers(&mut raw, bytes, slots) {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
            _ => return Err(BadAnswer("it is no HTTP/1.1")),
        }
        let (Some(version), Some(status)) = (raw.version, raw.code) else {
            return Err(BadAnswer("it is no HTTP/1.1"));
        };
        if !(100..=999).contains(&status) {
            return Err(BadAnswer("its status is no status"));
        }
        let mut head = Self {
            status,
            reason: raw.reason.unwrap_or_default(),
            old: version == 0,
            fields: raw.headers,
            length: AnswerLength::None,
            said_length: None,
            keep_alive: version == 1,
            retry_after: false,
            dated: false,
            nominates: false,
        };
        head.look_at_fields(to_head)?;
        Ok(head)
    }

    fn look_at_fields(&mut self, to_head: bool) -> Result<(), BadAnswer> {
        let mut chunked = false;
        for field in self.fields {
            match FieldName::of(field.name) {
                FieldName::ContentLength => {
                    let length = decimal(field.value).ok_or(BadAnswer("its length is no number"))?;
                    if self.said_length.replace(length).is_some_and(|other| other != length) {
                        return Err(BadAnswer("it has two lengths"));
                    }
                }
                FieldName::TransferEncoding => {
                    if chunked || self.old || !field.value.eq_ignore_ascii_case(b"chunked") {
                        return Err(BadAnswer("its transfer coding is not understood"));
                    }
                    chunked = true;
                }
                FieldName::Connection => {
                    for option in options(field.value) {
                        match option {
                            _ if option.eq_ignore_ascii_case(b"close") => self.keep_alive = false,
                            _ if option.eq_ignore_ascii_case(b"keep-alive") => {}
                            b"" => {}
                            _ => self.nominates = true,
                        }
                    }
                }
                FieldName::RetryAfter => self.retry_after = true,
                FieldName::Date => self.dated = true,
                _ => {}
            }
        }
        let bodiless = to_head || self.status < 200 || matches!(self.status, 204 | 304);
        self.length = match (self.said_length, chunked) {
            (Some(_), true) => return Err(BadAnswer("its body has two lengths")),
            _ if bodiless => AnswerLength::None,
            (Some(length), false) => AnswerLength::Known(length),
            (None, true) => AnswerLength::Chunked,
            (None, false) => AnswerLength::UntilClosed,
        };
        Ok(())
    }

    /// Whether `Connection` names the field, which then concerns this connection alone.
    pub fn nominates(&self, name: &str) -> bool {
        self.nominates && nominated(self.fields, name)
    }
}

/// Why an answer is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadAnswer(pub &'static str);

impl fmt::Display for BadAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadAnswer {}

#[cfg(test)]
mod tests {
    use std::mem::MaybeUninit;

    use super::*;
    use crate::http1::MOST_FIELDS;

    fn length(bytes: &str, to_head: bool) -> Option<AnswerLength> {
        let mut slots = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        ResponseHead::read(bytes.as_bytes(), &mut slots, to_head).ok().map(|head| head.length)
    }

    #[test]
    fn the_length_of_a_body_is_certain() {
        for (bytes, to_head, expected) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", false, Some(AnswerLength::Known(3))),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", true, Some(AnswerLength::None)),
            ("HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", false, Some(AnswerLength::None)),
            ("HTTP/1.1 204 No Content\r\n\r\n", false, Some(AnswerLength::None)),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, Some(AnswerLength::Chunked)),
            ("HTTP/1.1 200\r\n\r\n", false, Some(AnswerLength::UntilClosed)),
            ("HTTP/1.0 200 OK\r\n\r\n", false, Some(AnswerLength::UntilClosed)),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\n", false, None),
            ("HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\n", false, None),
            ("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", false, None),
            ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", false, None),
            ("HTTP/1.1 099 OK\r\n\r\n", false, None),
            ("what do you want\r\n\r\n", false, None),
        ] {
            assert_eq!(length(bytes, to_head), expected, "{bytes:?}");
        }
    }
}
