//! Makes what strangers have put into messages safe to be parsed.
//!
//! lapin parses a message's properties on the thread that owns the connection, and takes them for well behaved. Nested
//! tables and arrays it parses by recursion, so that 10 KB of headers end the process by an overflow of the stack; a short
//! string that is not UTF-8 ends the connection. RabbitMQ passes both on, and delivers such a message again after either.
//! And 120 KB of headers may be 120,000 values, which take megabytes once they are parsed.
//!
//! So the bytes are seen through before lapin has them, and what would harm it is changed where it stands, no byte longer or
//! shorter: a value that is nested too deep becomes an opaque array of bytes (`x`), what comes after too many values another
//! one, and a byte that is no UTF-8 a question mark.
//!
//! Frames and fields are those of AMQP 0-9-1, 2.3 and 4.2, with RabbitMQ's types of fields
//! (<https://www.rabbitmq.com/amqp-0-9-1-errata#section_3>).

mod fields;
mod reactor;
mod stream;

pub(super) use reactor::runtime;

use fields::Fields;

/// Type, channel and size come before a frame's payload, and one mark after it.
const FRAME_HEAD: usize = 7;
const FRAME_END: usize = 1;

const METHOD: u8 = 1;
const CONTENT_HEADER: u8 = 2;

/// Class and number of methods.
const CONNECTION_START: (u16, u16) = (10, 10);
const BASIC_RETURN: (u16, u16) = (60, 50);
const BASIC_DELIVER: (u16, u16) = (60, 60);
const BASIC_GET_OK: (u16, u16) = (60, 71);

/// Longer frames of these two types are passed as they are. Neither side agrees on so large a frame; lapin refuses it.
pub(super) const FRAME_MAX: usize = 256 * 1024;

/// Sanitizes one table that is parsed without a stream.
pub(super) fn sanitize_table(bytes: &mut [u8]) {
    let _ = Fields::new(bytes).table();
}

/// Where the stream of frames is.
#[derive(Debug, Default)]
pub(super) struct Sanitizer {
    /// So many bytes belong to a frame that is of no interest.
    passing: usize,
}

impl Sanitizer {
    /// Looks at what has come and was not looked at before; returns how much of it may be passed on. The rest, less than
    /// [`FRAME_MAX`], is to be shown again with what comes after it.
    pub(super) fn sanitize(&mut self, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        loop {
            let passed = self.passing.min(bytes.len() - done);
            self.passing -= passed;
            done += passed;
            let Some(head) = bytes[done..].first_chunk::<FRAME_HEAD>() else { return done };
            let [kind, _, _, size @ ..] = *head;
            let size = u32::from_be_bytes(size) as usize;
            let whole = FRAME_HEAD + size + FRAME_END;
            if !matches!(kind, METHOD | CONTENT_HEADER) || whole > FRAME_MAX {
                self.passing = whole;
                continue;
            }
            let Some(frame) = bytes[done..].get_mut(..whole) else { return done };
            let mut fields = Fields::new(&mut frame[FRAME_HEAD..FRAME_HEAD + size]);
            // What cannot be understood is lapin's to refuse.
            let _ = if kind == METHOD { method(&mut fields) } else { content_header(&mut fields) };
            done += whole;
        }
    }
}

/// The methods that others than the broker have put something into: the way of a message, and whom one talks to at all.
fn method(fields: &mut Fields<'_>) -> Option<()> {
    match (fields.short()?, fields.short()?) {
        CONNECTION_START => {
            fields.skip(2)?; // version
            return fields.table();
        }
        BASIC_RETURN => {
            fields.skip(2)?; // reply code
            fields.short_string()?; // reply text
        }
        BASIC_DELIVER => {
            fields.short_string()?; // consumer tag
            fields.skip(9)?; // delivery tag, redelivered
        }
        BASIC_GET_OK => fields.skip(9)?,
        _ => return Some(()),
    }
    fields.short_string()?; // exchange
    fields.short_string() // routing key
}

/// The properties of a message, in the order of their flags from the highest bit on.
fn content_header(fields: &mut Fields<'_>) -> Option<()> {
    fields.skip(12)?; // class, weight, size of the body
    let flags = fields.short()?;
    for bit in (2..16).rev().filter(|bit| flags & (1 << bit) != 0) {
        match bit {
            13 => fields.table()?,
            12 | 11 => fields.skip(1)?, // delivery mode, priority
            6 => fields.skip(8)?,       // timestamp
            _ => fields.short_string()?,
        }
    }
    Some(())
}

#[cfg(test)]
mod tests;
