//! What holds for any request and any answer: what is written on has the meaning of what was read, and says of the
//! sender and of the framing what the gateway says, and nothing else.

use std::{
    mem::MaybeUninit,
    net::{IpAddr, Ipv4Addr},
    time::{Duration, SystemTime},
};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    answer::{self, Ending, Recipient},
    date::Clock,
    origin::Origin,
    request::{self, Sender},
};
use crate::http1::{AnswerLength, BodyLength, FieldName, MOST_FIELDS, RequestHead, ResponseHead, Slots};

const IDENTITY: &str = "x-warren-subject: u1\r\nx-warren-role: user\r\n";

/// Names that mean something somewhere, spelt in ways that some server may take for the same, and any others.
fn name() -> impl Strategy<Value = String> {
    const NAMES: [&str; 34] = [
        "accept",
        "authorization",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "idempotency-key",
        "keep-alive",
        "location",
        "origin",
        "proxy-authorization",
        "proxy-connection",
        "ratelimit",
        "te",
        "trailer",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-port",
        "x-forwarded-proto",
        "x-hop",
        "x-real-ip",
        "x-request-id",
        "x-request-timeout-ms",
        "x-warren-role",
        "x-warren-subject",
        "x-warren-anything",
        "access-control-allow-origin",
    ];
    let spelt = (select(&NAMES[..]), 0..4u8).prop_map(|(name, spelling)| match spelling {
        0 => name.to_ascii_uppercase(),
        1 => name.replace('-', "_"),
        2 => name.replacen('-', "_", 1),
        _ => name.to_owned(),
    });
    prop_oneof![4 => spelt, 1 => "[A-Za-z][A-Za-z0-9!#$%&'*+.^`|~_-]{0,12}"]
}

fn value() -> impl Strategy<Value = String> {
    const VALUES: [&str; 16] = [
        "",
        "5",
        "chunked",
        "close",
        "keep-alive",
        "x-hop, close",
        "content-length, transfer-encoding, host",
        "x-warren-subject, x-warren-role, via",
        "x-forwarded-for, x-request-id, accept",
        "100-continue",
        "https",
        "admin",
        "127.0.0.1",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "/users/u1",
        "\u{fc}",
    ];
    prop_oneof![3 => select(&VALUES[..]).prop_map(str::to_owned), 1 => "[!-~]([ -~\t]{0,20}[!-~])?"]
}

type Fields = Vec<(String, String)>;

fn fields() -> impl Strategy<Value = Fields> {
    vec((name(), value()), 0..10)
}

fn lines(fields: &Fields) -> String {
    fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect()
}

fn slots<'b>() -> Slots<'b> {
    [const { MaybeUninit::uninit() }; MOST_FIELDS]
}

fn is(field: &crate::http1::Field<'_>, name: &str) -> bool {
    // As a server reads that takes an underscore for a dash.
    field.name.replace('_', "-").eq_ignore_ascii_case(name)
}

/// Every value that a reader finds under the name.
fn all<'b>(fields: &[crate::http1::Field<'b>], name: &str) -> Vec<&'b [u8]> {
    fields.iter().filter(|field| is(field, name)).map(|field| field.value).collect()
}

fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).into_owned()
}

proptest! {
    #[test]
    fn a_service_reads_the_request_that_the_gateway_read(
        fields in fields(),
        old in any::<bool>(),
        trusted in any::<bool>(),
        known in any::<bool>(),
    ) {
        let version = if old { "1.0" } else { "1.1" };
        let bytes = format!("POST /api/users?x HTTP/{version}\r\nHost: shop\r\n{}\r\n", lines(&fields));
        let mut read = slots();
        let Ok(head) = RequestHead::read(bytes.as_bytes(), &mut read, MOST_FIELDS) else { return Ok(()) };
        let origin = Origin::accept_or_make(head.request_id, head.traceparent, SystemTime::now());
        let sender = Sender { peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), trusted };
        let identity = if known { IDENTITY } else { "" };
        let (mut written, mut out) = (Vec::new(), Vec::new());

        request::write_fields(&head, (sender, "192.0.2.7"), &origin, identity.as_bytes(), false, &mut written);
        let left = Duration::from_millis(1234);
        request::write_head("POST", "/base", "/users?x", "users:3001", (left, origin.trace), &written, &mut out);

        let mut slots = slots();
        let there = RequestHead::read(&out, &mut slots, MOST_FIELDS).expect("what is written is sound");
        prop_assert_eq!((there.method_name, there.path, there.query), ("POST", "/base/users", Some("x")));
        prop_assert_eq!((there.host, there.old, there.length), (&b"users:3001"[..], false, head.length));
        prop_assert!(there.keep_alive && !there.expects_continue && there.upgrade.is_none());

        // One framing, and only the one.
        let framings = (all(there.fields, "content-length").len(), all(there.fields, "transfer-encoding").len());
        prop_assert_eq!(framings, match head.length {
            BodyLength::None => (0, 0),
            BodyLength::Known(_) => (1, 0),
            BodyLength::Chunked => (0, 1),
        });

        // What the gateway says, and nobody else.
        let subjects = if known { vec![&b"u1"[..]] } else { vec![] };
        prop_assert_eq!(all(there.fields, "x-warren-subject"), subjects);
        let internal = there.fields.iter().filter(|field| {
            field.name.to_ascii_lowercase().replace('_', "-").starts_with("x-warren")
        });
        prop_assert_eq!(internal.count(), if known { 2 } else { 0 });
        prop_assert_eq!(all(there.fields, "x-request-timeout-ms"), [b"1234"]);
        prop_assert_eq!(all(there.fields, "x-request-id"), [origin.id().as_bytes()]);
        prop_assert_eq!(all(there.fields, "traceparent").len(), 1);
        prop_assert_eq!(all(there.fields, "host").len(), 1);
        for stripped in [
            "connection", "expect", "forwarded", "keep-alive", "proxy-authorization", "proxy-connection", "te",
            "trailer", "upgrade", "x-real-ip", "x-forwarded-port",
        ] {
            prop_assert!(all(there.fields, stripped).is_empty(), "{}", stripped);
        }
        let [chain] = all(there.fields, "x-forwarded-for")[..] else { panic!("one chain of senders") };
        prop_assert!(chain.ends_with(b"192.0.2.7"));
        if !trusted {
            prop_assert_eq!(chain, b"192.0.2.7");
            prop_assert_eq!(all(there.fields, "x-forwarded-host"), [b"shop"]);
            prop_assert_eq!(all(there.fields, "x-forwarded-proto"), [b"http"]);
        }

        // All else as it was, in its order.
        let passes = |field: &&crate::http1::Field<'_>| {
            FieldName::of(field.name) == FieldName::Other
                && !field.name.contains('_')
                && !field.name.eq_ignore_ascii_case("via")
        };
        let sent: Vec<_> = head
            .fields
            .iter()
            .filter(|field| passes(field) && !head.nominates(field.name))
            .map(|field| (field.name, text(field.value)))
            .collect();
        let came: Vec<_> =
            there.fields.iter().filter(passes).map(|field| (field.name, text(field.value))).collect();
        prop_assert_eq!(came, sent);
    }

    #[test]
    fn a_client_reads_the_answer_that_the_gateway_read(
        fields in fields(),
        status in select(&[200u16, 201, 204, 206, 304, 404, 503][..]),
        to_head in any::<bool>(),
        old in any::<bool>(),
        keep_alive in any::<bool>(),
        cors in any::<bool>(),
    ) {
        let bytes = format!("HTTP/1.1 {status} Some Words\r\n{}\r\n", lines(&fields));
        let mut read = slots();
        let Ok(head) = ResponseHead::read(bytes.as_bytes(), &mut read, to_head) else { return Ok(()) };
        let ending = Ending::of(&head, old);
        let keep_alive = keep_alive && ending != Ending::Close;
        let added = b"x-request-id: r-7\r\nRateLimit: \"default\";r=1;t=1\r\n";
        let mut out = Vec::new();

        let to = Recipient { old, keep_alive, added, cors, clock: &Clock::default() };
        answer::write_head(&head, ending, to, |_| None, &mut out);

        let mut slots = slots();
        let there = ResponseHead::read(&out, &mut slots, to_head).expect("what is written is sound");
        prop_assert_eq!((there.status, there.reason), (status, "Some Words"));
        let length = match (head.length, old) {
            (AnswerLength::Chunked | AnswerLength::UntilClosed, false) => AnswerLength::Chunked,
            (AnswerLength::Chunked | AnswerLength::UntilClosed, true) => AnswerLength::UntilClosed,
            (length, _) => length,
        };
        prop_assert_eq!((there.length, there.keep_alive), (length, keep_alive));
        // RFC 9110 section 8.6 and RFC 9112 section 6.1: none of either where it means nothing.
        let count = |name: &str| {
            there.fields.iter().filter(|field| field.name.eq_ignore_ascii_case(name)).count()
        };
        let framings = count("content-length") + count("transfer-encoding");
        prop_assert!(framings <= 1);
        prop_assert!(status != 204 || framings == 0);
        prop_assert!(all(there.fields, "x-request-id").contains(&&b"r-7"[..]));
        prop_assert!(there.dated);
        for name in ["ratelimit", "connection", "date"] {
            prop_assert!(count(name) <= 1, "{}", name);
        }
        for stripped in ["keep-alive", "proxy-connection", "te", "trailer", "upgrade", "x-warren-subject"] {
            prop_assert_eq!(count(stripped), 0, "{}", stripped);
        }
    }
}
