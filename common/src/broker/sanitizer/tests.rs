use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use futures_io::AsyncRead;
use futures_util::FutureExt;
use lapin::types::parsing::parse_field_table;

use super::{
    fields::{MOST_NESTED, MOST_VALUES},
    stream::Sanitized,
    *,
};

/// A frame of this type on channel 1.
fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).expect("a frame");
    [&[kind, 0, 1], &size.to_be_bytes()[..], payload, &[0xce]].concat()
}

/// A content header with these properties.
fn content(flags: u16, properties: &[u8]) -> Vec<u8> {
    frame(
        CONTENT_HEADER,
        &[&[0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9], &flags.to_be_bytes()[..], properties].concat(),
    )
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).expect("short").to_be_bytes()[..], bytes].concat()
}

/// A table whose one value is an array in an array and so on, so deep.
fn nested(depth: usize) -> Vec<u8> {
    let mut value = vec![b'V'];
    for _ in 0..depth {
        value = [&b"A"[..], &long(&value)].concat();
    }
    long(&[b"\x01k", &value[..]].concat())
}

fn sanitized(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    assert_eq!(Sanitizer::default().sanitize(&mut bytes), bytes.len());
    bytes
}

#[test]
fn what_is_well_behaved_passes_as_it_is() {
    let headers = long(b"\x01aS\0\0\0\x02\xff\xfe\x01bF\0\0\0\x04\x01ct\x01\x01dD\x02\0\0\0\x07\x01es\0\x01");
    let every_flag = [
        &b"\x0atext/plain\x00"[..],
        &headers,
        b"\x02\x05\x03key\x00\x0560000\x03id1\0\0\0\0\0\0\0\x01\x01t\x01u\x01a\x00",
    ];
    for frame in [
        content(0xfffc, &every_flag.concat()),
        content(0x2000, &nested(MOST_NESTED)),
        frame(METHOD, b"\0\x3c\0\x3c\x03ctg\0\0\0\0\0\0\0\x01\0\x06events\x0dorder.created"),
        frame(3, &[0xff; 100]),
        frame(METHOD, b"\0\x0a\0\x1e\0\0"),
    ] {
        assert_eq!(sanitized(&frame), frame);
    }
}

#[test]
fn what_is_nested_too_deep_becomes_bytes_and_the_rest_stays() {
    for depth in [MOST_NESTED + 1, 20_000] {
        let after = b"\x01zS\0\0\0\x01v";
        let mut table = nested(depth);
        table = long(&[&table[4..], after].concat());
        let clean = sanitized(&content(0x2000, &table));

        let (rest, parsed) = parse_field_table(&clean[FRAME_HEAD + 14..]).expect("it can be parsed");
        assert_eq!(rest, [0xce]);
        let text = format!("{parsed:?}");
        assert_eq!(text.matches("FieldArray([").count(), MOST_NESTED, "{text}");
        assert_eq!(text.matches("ByteArray([").count(), 1, "{text}");
        assert!(text.contains("LongString"), "{text}");
        let changed =
            clean.iter().zip(content(0x2000, &table)).filter(|(now, before)| **now != *before).count();
        assert_eq!(changed, 1, "one type of {depth}");
    }
}

#[test]
fn what_comes_after_too_many_values_becomes_bytes() {
    let voids = |count| [&b"\x01aA"[..], &long(&vec![b'V'; count]), b"\x01zt\x01"].concat();
    let named = |count| b"\x01aV".repeat(count);
    for (table, values) in [
        (voids(MOST_VALUES - 2), MOST_VALUES - 2),
        (voids(100_000), MOST_VALUES - 1),
        (named(MOST_VALUES), 1),
        (named(40_000), 1),
    ] {
        let clean = sanitized(&content(0x2000, &long(&table)));

        let (rest, parsed) = parse_field_table(&clean[FRAME_HEAD + 14..]).expect("it can be parsed");
        assert_eq!(rest, [0xce]);
        assert_eq!(format!("{parsed:?}").matches("Void").count(), values);
    }
    // With too little left for an array of bytes, the few are as they were.
    let few = content(0x2000, &long(&named(MOST_VALUES + 1)));
    assert_eq!(sanitized(&few), few);
}

#[test]
fn a_short_string_is_text_wherever_it_stands() {
    let question_marks = [
        (content(0x8000, b"\x02\xff\xfe"), content(0x8000, b"\x02??")),
        (content(0x0080, b"\x04a\xc3\xa9\xc3"), content(0x0080, b"\x04a\xc3\xa9?")),
        (content(0x2000, &long(b"\x03a\xffbt\0")), content(0x2000, &long(b"\x03a?bt\0"))),
        (
            frame(METHOD, b"\0\x3c\0\x3c\x03ctg\0\0\0\0\0\0\0\x01\0\x06events\x02\xff\xff"),
            frame(METHOD, b"\0\x3c\0\x3c\x03ctg\0\0\0\0\0\0\0\x01\0\x06events\x02??"),
        ),
        (
            frame(METHOD, b"\0\x3c\0\x47\0\0\0\0\0\0\0\x01\0\x00\x02\xff\xff\0\0\0\0"),
            frame(METHOD, b"\0\x3c\0\x47\0\0\0\0\0\0\0\x01\0\x00\x02??\0\0\0\0"),
        ),
    ];
    for (before, after) in question_marks {
        assert_eq!(sanitized(&before), after);
    }
}

#[test]
fn nonsense_is_left_to_whoever_parses_it() {
    for payload in [&b"\0"[..], b"\0\x3c\0\0", b"\0\x3c\0\x3c\xff", &[0xff; 40]] {
        for kind in [METHOD, CONTENT_HEADER] {
            let nonsense = frame(kind, payload);
            assert_eq!(sanitized(&nonsense).len(), nonsense.len());
        }
    }
    // It speaks another version and says so without a frame, or is no broker at all.
    for other in [&b"AMQP\0\0\x09\x01"[..], b"HTTP/1.1 400 Bad Request\r\n\r\n"] {
        assert_eq!(sanitized(other), other);
    }
}

/// Gives a few bytes at a time.
struct Trickle(Vec<u8>, usize);

impl AsyncRead for Trickle {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, out: &mut [u8]) -> Poll<io::Result<usize>> {
        let count = self.1.min(self.0.len()).min(out.len());
        let rest = self.0.split_off(count);
        out[..count].copy_from_slice(&std::mem::replace(&mut self.0, rest));
        Poll::Ready(Ok(count))
    }
}

#[test]
fn frames_may_come_in_pieces_of_any_size() {
    let largest = frame(CONTENT_HEADER, &vec![0; FRAME_MAX - FRAME_HEAD - FRAME_END]);
    let too_large = frame(METHOD, &vec![b'A'; FRAME_MAX]);
    let frames = [
        content(0x2000, &nested(MOST_NESTED + 2)),
        frame(3, &[b'F'; 5000]),
        content(0x8000, b"\x01\xff"),
        largest,
        content(0x8000, b"\x02ok"),
        too_large,
        content(0x8000, b"\x01\xff"),
    ];
    let expected: Vec<u8> = frames.iter().flat_map(|frame| sanitized(frame)).collect();
    assert_ne!(expected, frames.concat());

    for piece in [1, 7, 4096, usize::MAX] {
        let mut stream = Sanitized::new(Trickle(frames.concat(), piece));
        let (mut read, mut out) = (Vec::new(), vec![0; 100_000]);
        loop {
            let next = std::future::poll_fn(|context| Pin::new(&mut stream).poll_read(context, &mut out));
            match next.now_or_never().expect("it is ready").expect("it can be read") {
                0 => break,
                count => read.extend_from_slice(&out[..count]),
            }
        }
        assert!(read == expected, "in pieces of {piece}");
    }
}
