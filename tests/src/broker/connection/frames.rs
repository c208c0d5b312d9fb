//! Frames as bytes: taken apart as they come in, put together as they go out.
//!
//! A frame is its type, its channel, the length of its payload, the payload, and one byte that ends it (AMQP 0-9-1, 2.3.5).
//! Methods are read and written by `amq-protocol`; the content of a message passes as the bytes that it came in.

use amq_protocol::frame::{WriteContext, gen_frame};
use amq_protocol::protocol::{AMQPClass, constants, parse_class};

use super::super::Message;
use super::nesting;

/// Type, channel and length.
const HEAD: usize = 7;

/// What a frame adds to its payload.
pub const OVERHEAD: usize = HEAD + 1;

/// The class of all content.
const BASIC: u16 = 60;

/// A frame that came in.
#[derive(Debug, PartialEq)]
pub struct Frame<'a> {
    /// Its channel; 0 is the connection itself.
    pub channel: u16,
    /// What is in it.
    pub payload: Payload<'a>,
}

/// What a frame carries.
#[derive(Debug, PartialEq)]
pub enum Payload<'a> {
    /// A call.
    Method(AMQPClass),
    /// A method that nobody knows, by class and method.
    UnknownMethod(u16, u16),
    /// A `basic.qos` that limits deliveries by so many bytes, which `amq-protocol` would read past.
    QosOfBytes(u32),
    /// The head of a content: how long its body will be, and the bytes of its properties.
    Header { class: u16, body_size: u64, properties: &'a [u8] },
    /// A part of the body.
    Body(&'a [u8]),
    /// A sign of life.
    Heartbeat,
}

/// Why bytes are no frame; nothing after them can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadFrame {
    /// No frame has this type, or the byte at its end is another one.
    Malformed,
    /// It is longer than was agreed upon.
    TooLong,
    /// The fields of a method or of a content's head cannot be read.
    Syntax,
    /// It has tables within tables within tables.
    TooDeep,
}

/// Takes the first frame from `bytes`, and says how long it was; `None` where it has not come wholly.
///
/// # Errors
///
/// What comes is no frame.
pub fn take(bytes: &[u8], frame_max: u32) -> Result<Option<(Frame<'_>, usize)>, BadFrame> {
    let Some((head, rest)) = bytes.split_first_chunk::<HEAD>() else { return Ok(None) };
    let channel = u16::from_be_bytes([head[1], head[2]]);
    let length = u32::from_be_bytes([head[3], head[4], head[5], head[6]]) as usize;
    if !matches!(
        head[0],
        constants::FRAME_METHOD
            | constants::FRAME_HEADER
            | constants::FRAME_BODY
            | constants::FRAME_HEARTBEAT
    ) {
        return Err(BadFrame::Malformed);
    }
    if length + OVERHEAD > frame_max as usize {
        return Err(BadFrame::TooLong);
    }
    let Some(payload) = rest.get(..length) else { return Ok(None) };
    match rest.get(length) {
        None => return Ok(None),
        Some(&constants::FRAME_END) => {}
        Some(_) => return Err(BadFrame::Malformed),
    }

    let payload = match head[0] {
        constants::FRAME_METHOD => method(payload)?,
        constants::FRAME_HEADER => header(payload)?,
        constants::FRAME_BODY => Payload::Body(payload),
        _ => Payload::Heartbeat,
    };
    Ok(Some((Frame { channel, payload }, length + OVERHEAD)))
}

fn method(payload: &[u8]) -> Result<Payload<'_>, BadFrame> {
    if nesting::is_too_deep(payload) {
        return Err(BadFrame::TooDeep);
    }
    match (payload, parse_class(payload)) {
        ([0, 60, 0, 10, a, b, c, d, ..], Ok(_)) if [a, b, c, d] != [&0; 4] => {
            Ok(Payload::QosOfBytes(u32::from_be_bytes([*a, *b, *c, *d])))
        }
        (_, Ok((_, class))) => Ok(Payload::Method(class)),
        (_, Err(_)) => {
            let (ids, _) = payload.split_first_chunk::<4>().ok_or(BadFrame::Syntax)?;
            let (class, method) =
                (u16::from_be_bytes([ids[0], ids[1]]), u16::from_be_bytes([ids[2], ids[3]]));
            if is_known(class, method) {
                Err(BadFrame::Syntax)
            } else {
                Ok(Payload::UnknownMethod(class, method))
            }
        }
    }
}

/// Whether the specification, or RabbitMQ, has such a method at all.
fn is_known(class: u16, method: u16) -> bool {
    match class {
        10 => matches!(method, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 41 | 50 | 51 | 60 | 61 | 70 | 71),
        20 => matches!(method, 10 | 11 | 20 | 21 | 40 | 41),
        30 => matches!(method, 10 | 11),
        40 => matches!(method, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 51),
        50 => matches!(method, 10 | 11 | 20 | 21 | 30 | 31 | 40 | 41 | 50 | 51),
        60 => matches!(
            method,
            10 | 11 | 20 | 21 | 30 | 31 | 40 | 50 | 60 | 70 | 71 | 72 | 80 | 90 | 100 | 110 | 111 | 120
        ),
        85 => matches!(method, 10 | 11),
        90 => matches!(method, 10 | 11 | 20 | 21 | 30 | 31),
        _ => false,
    }
}

fn header(payload: &[u8]) -> Result<Payload<'_>, BadFrame> {
    // Class, weight, length of the body.
    let (head, properties) = payload.split_first_chunk::<12>().ok_or(BadFrame::Syntax)?;
    if nesting::is_header_too_deep(properties) {
        return Err(BadFrame::TooDeep);
    }
    let body_size =
        u64::from_be_bytes([head[4], head[5], head[6], head[7], head[8], head[9], head[10], head[11]]);
    Ok(Payload::Header { class: u16::from_be_bytes([head[0], head[1]]), body_size, properties })
}

/// Appends a method.
pub fn put_method(out: &mut Vec<u8>, channel: u16, method: AMQPClass) {
    let begun = out.len();
    let frame = amq_protocol::frame::AMQPFrame::Method(channel, method);
    match gen_frame(&frame)(WriteContext::from(std::mem::take(out))) {
        Ok(context) => *out = context.into_inner().0,
        // Writing to memory fails at nothing but a field that is longer than its length can say.
        Err(error) => log::error!("event=frame_not_written after={begun} error={error:?}"),
    }
}

/// Appends a message's content: its head with these properties, and its body in as many frames as it takes.
pub fn put_content(out: &mut Vec<u8>, channel: u16, properties: &[u8], body: &[u8], frame_max: u32) {
    let mut head = [0; 12];
    head[..2].copy_from_slice(&BASIC.to_be_bytes());
    head[4..].copy_from_slice(&(body.len() as u64).to_be_bytes());
    put(out, constants::FRAME_HEADER, channel, &[&head, properties]);
    for part in body.chunks(frame_max as usize - OVERHEAD) {
        put(out, constants::FRAME_BODY, channel, &[part]);
    }
}

/// Appends a message's content as it came.
pub fn put_message(out: &mut Vec<u8>, channel: u16, message: &Message, frame_max: u32) {
    put_content(out, channel, message.properties(), message.body(), frame_max);
}

/// Appends a sign of life.
pub fn put_heartbeat(out: &mut Vec<u8>) {
    put(out, constants::FRAME_HEARTBEAT, 0, &[]);
}

fn put(out: &mut Vec<u8>, kind: u8, channel: u16, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.push(kind);
    out.extend_from_slice(&channel.to_be_bytes());
    out.extend_from_slice(&(length as u32).to_be_bytes());
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out.push(constants::FRAME_END);
}

#[cfg(test)]
mod tests {
    use amq_protocol::protocol::{basic, queue};

    use super::*;

    const FRAME_MAX: u32 = 4096;

    #[test]
    fn a_method_is_read_as_it_was_written() {
        let declare = queue::Declare { queue: "q".into(), durable: true, ..Default::default() };
        let method = AMQPClass::Queue(queue::AMQPMethod::Declare(declare));
        let mut bytes = b"before".to_vec();

        put_method(&mut bytes, 7, method.clone());

        assert!(bytes.starts_with(b"before"));
        let bytes = &bytes[6..];
        for cut in 0..bytes.len() {
            assert_eq!(take(&bytes[..cut], FRAME_MAX), Ok(None), "{cut} bytes");
        }
        let frame = Frame { channel: 7, payload: Payload::Method(method) };
        assert_eq!(take(bytes, FRAME_MAX), Ok(Some((frame, bytes.len()))));
    }

    #[test]
    fn a_body_goes_in_frames_of_the_agreed_size() {
        let body = vec![1; 3 * FRAME_MAX as usize];
        let message = Message::new("", "q", &[0, 0], &body).expect("it is good");
        let mut bytes = Vec::new();

        put_message(&mut bytes, 1, &message, FRAME_MAX);

        let (mut rest, mut got, mut frames) = (&bytes[..], Vec::new(), 0);
        while let Some((frame, length)) = take(rest, FRAME_MAX).expect("they are frames") {
            match frame.payload {
                Payload::Header { class, body_size, properties } => {
                    assert_eq!((class, body_size, properties), (60, body.len() as u64, &[0, 0][..]));
                }
                Payload::Body(part) => got.extend_from_slice(part),
                other => panic!("{other:?}"),
            }
            (rest, frames) = (&rest[length..], frames + 1);
        }
        assert!(rest.is_empty());
        assert_eq!((got, frames), (body, 5));
    }

    #[test]
    fn what_is_no_frame_is_said_to_be_none() {
        let mut heartbeat = Vec::new();
        put_heartbeat(&mut heartbeat);
        *heartbeat.last_mut().expect("it has an end") = 0;
        assert_eq!(take(&heartbeat, FRAME_MAX), Err(BadFrame::Malformed));
        assert_eq!(take(b"GET / HTTP/1.1\r\n", FRAME_MAX), Err(BadFrame::Malformed));
        assert_eq!(take(&[3, 0, 1, 0, 0, 16, 0], FRAME_MAX), Err(BadFrame::TooLong));
        assert_eq!(take(&[1, 0, 1, 0, 0, 0, 2, 0, 60, 0xce], FRAME_MAX), Err(BadFrame::Syntax));
        let unknown = take(&[1, 0, 1, 0, 0, 0, 4, 0, 60, 0, 99, 0xce], FRAME_MAX);
        assert_eq!(
            unknown.map(|found| found.map(|(frame, _)| frame.payload)),
            Ok(Some(Payload::UnknownMethod(60, 99)))
        );
    }

    #[test]
    fn a_delivery_keeps_its_fields() {
        let deliver =
            basic::Deliver { consumer_tag: "c".into(), delivery_tag: 1 << 40, ..Default::default() };
        let method = AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver));
        let mut bytes = Vec::new();
        put_method(&mut bytes, 1, method.clone());
        let (frame, _) = take(&bytes, FRAME_MAX).expect("it is a frame").expect("it is whole");
        assert_eq!(frame.payload, Payload::Method(method));
    }
}
