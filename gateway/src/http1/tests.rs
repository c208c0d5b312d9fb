//! What holds for any bytes: nothing panics, the pieces make no difference, and what is accepted has one meaning.

use std::mem::MaybeUninit;

use proptest::{collection::vec, prelude::*, sample::Index};

use super::*;

/// Bytes as they come from whoever has read the standard, and from whoever hopes that others have not.
fn wire() -> impl Strategy<Value = Vec<u8>> {
    const FRAGMENTS: [&str; 36] = [
        "GET /api/users HTTP/1.1\r\n",
        "POST http://a/ HTTP/1.1\r\n",
        "HTTP/1.1 200 OK\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Connection: close, x\r\n",
        "Expect: 100-continue\r\n",
        "Upgrade: websocket\r\n",
        "\r\n",
        "GET ",
        "/",
        " HTTP/1.1",
        " HTTP/1.0",
        "HTTP/1.1 ",
        "Host",
        "Content-Length",
        "content_length",
        "Transfer-Encoding",
        "X-Warren-Subject",
        ":",
        ": ",
        " ",
        "\t",
        ",",
        "chunked",
        "5",
        "0",
        "fffffffffffffff",
        "-",
        "\r",
        "\n",
        "\0",
        "\u{b}",
        "\u{fc}",
        "%2e",
    ];
    let fragment = prop::sample::select(&FRAGMENTS[..]).prop_map(|text| text.as_bytes().to_vec());
    vec(prop_oneof![8 => fragment, 1 => vec(any::<u8>(), 0..9)], 0..24).prop_map(|parts| parts.concat())
}

/// A head whose lines are nearly sound, so that many of them are accepted.
fn nearly_sound_head() -> impl Strategy<Value = Vec<u8>> {
    const LINES: [&str; 26] = [
        "Host: a",
        "Host: b",
        "host:a",
        "Content-Length: 5",
        "content-length:\t5",
        "Content-Length: 05 ",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length : 5",
        "Content_Length: 7",
        "Transfer-Encoding: chunked",
        "TRANSFER-ENCODING:CHUNKED",
        "Transfer-Encoding: chunked, chunked",
        "Transfer-Encoding: identity",
        "Transfer_Encoding: chunked",
        "Transfer-Encoding : chunked",
        " Transfer-Encoding: chunked",
        "X: \u{b}Transfer-Encoding: chunked",
        "X: y\rTransfer-Encoding: chunked",
        "Connection: content-length, transfer-encoding, host",
        "Connection: upgrade",
        "Upgrade: websocket",
        "Accept: */*",
        "X:",
        "X: \u{e4}",
        "X-Warren-Subject: u1",
    ];
    let lines = vec(prop::sample::select(&LINES[..]), 0..5);
    let first = prop::sample::select(&["GET / HTTP/1.1", "POST /x?y HTTP/1.1", "PUT http://a HTTP/1.0"][..]);
    (first, any::<bool>(), lines).prop_map(|(first, host, lines)| {
        let mut head = format!("{first}\r\n");
        for line in host.then_some("Host: a").into_iter().chain(lines) {
            head.push_str(line);
            head.push_str("\r\n");
        }
        (head + "\r\n").into_bytes()
    })
}

fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MOST_FIELDS]
}

/// What a reader that overlooks nothing finds of lengths: lines that have such a name under any spelling.
fn lengths(head: &[u8]) -> (Vec<String>, Vec<String>) {
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let (mut known, mut codings) = (Vec::new(), Vec::new());
    for line in text.split(['\r', '\n', '\u{b}', '\0']) {
        let Some((name, value)) = line.split_once(':') else { continue };
        match name.trim_matches(|c: char| c.is_whitespace() || c.is_control()) {
            "content-length" => known.push(value.trim().to_owned()),
            "transfer-encoding" => codings.push(value.trim().to_owned()),
            _ => {}
        }
    }
    (known, codings)
}

/// Cuts `bytes` at these places.
fn cut<'b>(bytes: &'b [u8], at: &[Index]) -> Vec<&'b [u8]> {
    let mut places: Vec<_> = at.iter().map(|index| index.index(bytes.len() + 1)).collect();
    places.sort_unstable();
    let ends = places.iter().copied().chain([bytes.len()]);
    let starts = [0].into_iter().chain(places.iter().copied());
    starts.zip(ends).map(|(from, to)| &bytes[from..to]).collect()
}

/// The body, how many bytes were taken, and whether that was all of it.
fn decode(pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), ChunkFault> {
    let (mut chunks, mut body, mut taken) = (Chunks::default(), Vec::new(), 0);
    for piece in pieces {
        let count = chunks.take(piece, &mut body)?;
        assert!(count == piece.len() || chunks.is_done() && count < piece.len(), "it takes what it can use");
        taken += count;
    }
    Ok((body, taken, chunks.is_done()))
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in wire(), to_head in any::<bool>(), most in 0..200usize) {
        let _ = HeadScan::default().end(&bytes);
        let _ = RequestHead::read(&bytes, &mut slots(), most);
        let _ = ResponseHead::read(&bytes, &mut slots(), to_head);
        let _ = decode(&[&bytes]);
    }

    #[test]
    fn a_head_ends_at_the_same_place_however_it_comes(bytes in wire(), at in vec(any::<Index>(), 0..6)) {
        let whole = HeadScan::default().end(&bytes);

        let (mut scan, mut here) = (HeadScan::default(), 0);
        let mut in_pieces = Ok(None);
        for piece in cut(&bytes, &at) {
            here += piece.len();
            in_pieces = scan.end(&bytes[..here]);
            if in_pieces != Ok(None) {
                break;
            }
        }

        prop_assert_eq!(in_pieces, whole);
        if let Ok(Some(end)) = whole {
            prop_assert!(bytes[..end].ends_with(b"\r\n\r\n"));
            prop_assert!(!bytes[..end - 1].windows(4).any(|four| four == b"\r\n\r\n"));
        }
    }

    #[test]
    fn an_accepted_request_has_one_length_whoever_reads_it(
        bytes in prop_oneof![nearly_sound_head(), wire()]
    ) {
        let Ok(Some(end)) = HeadScan::default().end(&bytes) else { return Ok(()) };
        let mut slots = slots();
        let Ok(head) = RequestHead::read(&bytes[..end], &mut slots, MOST_FIELDS) else { return Ok(()) };

        let (known, codings) = lengths(&bytes[..end]);
        match head.length {
            BodyLength::None => prop_assert_eq!((known.len(), codings.len()), (0, 0)),
            BodyLength::Chunked => prop_assert_eq!((known, codings), (vec![], vec!["chunked".to_owned()])),
            BodyLength::Known(length) => {
                prop_assert_eq!((known.len(), codings.len()), (1, 0));
                prop_assert_eq!(known[0].parse(), Ok(length));
            }
        }
        prop_assert!(head.path.starts_with('/') || head.path == "*");
        prop_assert!(head.path.is_ascii() && !head.path.contains([' ', '#', '?', '\r', '\n']));
    }

    #[test]
    fn an_accepted_answer_has_one_length_whoever_reads_it(head in nearly_sound_head(), status in 200..600u16) {
        let lines = head.iter().position(|&byte| byte == b'\n').map_or(0, |feed| feed + 1);
        let bytes = [format!("HTTP/1.1 {status} X\r\n").as_bytes(), &head[lines..]].concat();
        let mut slots = slots();
        let Ok(head) = ResponseHead::read(&bytes, &mut slots, false) else { return Ok(()) };

        let (mut known, codings) = lengths(&bytes);
        known.sort_unstable_by_key(|length| length.parse::<u64>().ok());
        known.dedup_by_key(|length| length.parse::<u64>().ok());
        prop_assert!(known.len() + codings.len() <= 1, "{:?}", head);
        match head.length {
            AnswerLength::Known(length) => prop_assert_eq!(known[0].parse(), Ok(length)),
            AnswerLength::Chunked => prop_assert_eq!(codings, ["chunked"]),
            AnswerLength::UntilClosed => prop_assert!(known.is_empty() && codings.is_empty()),
            AnswerLength::None => prop_assert!(matches!(status, 204 | 304)),
        }
    }

    #[test]
    fn a_body_comes_out_of_its_chunks_as_it_was_whatever_the_pieces(
        parts in vec(vec(any::<u8>(), 1..40), 0..6),
        extension in "(;[a-z]{1,5}(=[a-z0-9]{0,5})?)?",
        trailer in "([A-Z][a-z]{0,5}: [ -~]{0,9}\r\n){0,2}",
        zeros in 0..4usize,
        next in vec(any::<u8>(), 0..20),
        at in vec(any::<Index>(), 0..10),
    ) {
        let mut raw = Vec::new();
        for part in &parts {
            raw.extend(format!("{}{:x}{extension}\r\n", "0".repeat(zeros), part.len()).into_bytes());
            raw.extend(part);
            raw.extend(b"\r\n");
        }
        raw.extend(format!("0{extension}\r\n{trailer}\r\n").into_bytes());
        let length = raw.len();
        raw.extend(&next);

        let (body, taken, done) = decode(&cut(&raw, &at)).expect("it is sound");

        prop_assert_eq!(body, parts.concat());
        prop_assert_eq!((taken, done), (length, true));
    }

    #[test]
    fn malformed_or_not_the_pieces_make_no_difference_to_chunks(
        bytes in prop_oneof![wire(), "([0-9a-f]{1,2}(;x)?\r\n|[ -~]{0,20}\r?\n?){0,6}".prop_map(String::into_bytes)],
        at in vec(any::<Index>(), 0..8),
    ) {
        prop_assert_eq!(decode(&cut(&bytes, &at)), decode(&[&bytes]));
    }

    #[test]
    fn a_number_is_written_as_it_is_read(number in any::<u64>()) {
        let mut out = b"before ".to_vec();
        write_decimal(number, &mut out);
        prop_assert_eq!(out, format!("before {number}").into_bytes());
    }
}
