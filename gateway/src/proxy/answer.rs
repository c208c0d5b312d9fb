//! The head that a client gets of a service's answer, by RFC 9110 section 7.6. Pure.

use std::time::SystemTime;

use super::{
    date::Clock,
    request::{VIA, VIA_OLD, write_field},
};
use crate::http1::{AnswerLength, FieldName, ResponseHead, write_decimal};

/// How the end of an answer's body is made known to the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// There is no body.
    None,
    /// After so many bytes.
    Length(u64),
    /// By the last chunk.
    Chunks,
    /// By the end of the connection: to a client that does not know chunks.
    Close,
}

impl Ending {
    /// How the end of this answer is made known to a client of HTTP/1.0 (`old`) or 1.1.
    pub fn of(head: &ResponseHead<'_, '_>, old: bool) -> Self {
        match head.length {
            AnswerLength::None => Self::None,
            AnswerLength::Known(length) => Self::Length(length),
            AnswerLength::Chunked | AnswerLength::UntilClosed if old => Self::Close,
            AnswerLength::Chunked | AnswerLength::UntilClosed => Self::Chunks,
        }
    }
}

/// What a head is written for.
#[derive(Clone, Copy, Debug)]
pub struct Recipient<'a> {
    /// Whether the client speaks HTTP/1.0.
    pub old: bool,
    /// Whether the connection goes on after this answer.
    pub keep_alive: bool,
    /// Whole lines that the gateway adds.
    pub added: &'a [u8],
    /// Whether the gateway says which pages may read the answer, so that the service does not.
    pub cors: bool,
    /// Says when an answer was made that does not say so itself.
    pub clock: &'a Clock,
}

/// Appends the head; `public_name` returns what a location of the service is called outside.
pub fn write_head(
    head: &ResponseHead<'_, '_>,
    ending: Ending,
    to: Recipient<'_>,
    public_name: impl Fn(&str) -> Option<String>,
    out: &mut Vec<u8>,
) {
    write_status(head, out);
    for field in head.fields {
        match FieldName::of(field.name) {
            FieldName::Connection
            | FieldName::HopByHop
            | FieldName::TransferEncoding
            | FieldName::ContentLength
            | FieldName::Upgrade
            | FieldName::RequestId
            | FieldName::Internal
            | FieldName::RateLimit => {}
            FieldName::CorsAnswer if to.cors => {}
            FieldName::Location | FieldName::ContentLocation => {
                let public = std::str::from_utf8(field.value).ok().and_then(&public_name);
                write_field(field.name, public.as_deref().map_or(field.value, str::as_bytes), out);
            }
            _ if head.nominates(field.name) => {}
            _ => write_field(field.name, field.value, out),
        }
    }
    out.extend_from_slice(if head.old { VIA_OLD } else { VIA });
    if !head.dated {
        to.clock.with(SystemTime::now(), |date| write_field("date", date, out));
    }
    out.extend_from_slice(to.added);
    match ending {
        Ending::None => {
            // What a body would be long that is not sent: to HEAD, and with a 304.
            if let Some(length) = head.said_length.filter(|_| head.status != 204) {
                write_length(length, out);
            }
        }
        Ending::Length(length) => write_length(length, out),
        Ending::Chunks => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Ending::Close => {}
    }
    if !to.keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    } else if to.old {
        out.extend_from_slice(b"connection: keep-alive\r\n");
    }
    out.extend_from_slice(b"\r\n");
}

fn write_status(head: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"HTTP/1.1 ");
    write_decimal(u64::from(head.status), out);
    out.push(b' ');
    out.extend_from_slice(head.reason.as_bytes());
    out.extend_from_slice(b"\r\n");
}

fn write_length(length: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(b"content-length: ");
    write_decimal(length, out);
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of an answer that says that the protocol changes.
pub fn write_switch(head: &ResponseHead<'_, '_>, added: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\n",
    );
    for field in head.fields {
        match FieldName::of(field.name) {
            FieldName::Other if !head.nominates(field.name) => write_field(field.name, field.value, out),
            _ => {}
        }
    }
    out.extend_from_slice(added);
    out.extend_from_slice(b"\r\n");
}

/// Appends the head of an answer that comes before the final one, such as 103.
pub fn write_early(head: &ResponseHead<'_, '_>, out: &mut Vec<u8>) {
    write_status(head, out);
    for field in head.fields {
        if FieldName::of(field.name) == FieldName::Other && !head.nominates(field.name) {
            write_field(field.name, field.value, out);
        }
    }
    out.extend_from_slice(b"\r\n");
}
