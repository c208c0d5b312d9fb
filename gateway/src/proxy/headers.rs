//! Which header fields are passed on, by RFC 9110 section 7.6. Pure.
//!
//! What concerns one connection alone stops here, in both directions: `Connection` with every field that it
//! names, and those of [`is_hop_by_hop`]. How long a body is, is said anew by whoever writes it out.

use std::net::IpAddr;

use common::telemetry::trace::{Origin, REQUEST_ID, TRACEPARENT};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{
        CONNECTION, CONTENT_LENGTH, EXPECT, FORWARDED, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA,
    },
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// How the gateway signs what passes through it (RFC 9110 section 7.6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It came as HTTP/1.0.
    Http10,
    /// It came as HTTP/1.1.
    Http11,
}

impl Signature {
    /// The entry in `Via`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http10 => "1.0 warren",
            Self::Http11 => "1.1 warren",
        }
    }
}

/// Who sent a request, as far as the gateway knows.
#[derive(Clone, Copy, Debug)]
pub struct Sender<'a> {
    /// The other end of the connection.
    pub address: IpAddr,
    /// The host that it asked for.
    pub host: Option<&'a [u8]>,
    /// Whether its `X-Forwarded-*` are believed.
    pub trusted: bool,
    /// How its request came.
    pub signature: Signature,
}

/// Returns what a service gets of a client's header fields, and what the gateway adds. `connection` are the
/// values of the client's `Connection` fields.
pub fn to_service<'a>(
    connection: impl Iterator<Item = &'a [u8]>,
    fields: impl Iterator<Item = (&'a str, &'a [u8])>,
    sender: &Sender<'_>,
    origin: &Origin,
) -> HeaderMap {
    let nominated = Nominated::by(connection);
    let mut passed = HeaderMap::with_capacity(fields.size_hint().0 + 8);
    let mut forwarded = Forwarded::default();
    let mut traced = false;
    for (name, value) in fields {
        // Whoever took the request off the wire has checked both.
        let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value))
        else {
            continue;
        };
        if is_hop_by_hop(&name) || nominated.contain(&name) {
            continue;
        }
        match name {
            HOST | EXPECT | CONTENT_LENGTH => {}
            _ if is_about_the_sender(&name) => forwarded.note(&name, value),
            _ if name == REQUEST_ID => {}
            _ if name == TRACEPARENT => traced = true,
            _ => {
                passed.append(name, value);
            }
        }
    }
    forwarded.write(sender, &mut passed);
    passed.append(VIA, HeaderValue::from_static(sender.signature.as_str()));
    if !traced {
        // It belongs to a trace that nobody named.
        passed.remove(TRACESTATE);
    }
    if let Ok(id) = HeaderValue::from_str(origin.request_id.as_str()) {
        passed.insert(HeaderName::from_static(REQUEST_ID), id);
    }
    if let Ok(trace) = HeaderValue::try_from(origin.traceparent.child().to_string()) {
        passed.insert(HeaderName::from_static(TRACEPARENT), trace);
    }
    passed
}

/// Returns what a client gets of a service's header fields. `Content-Length` is among them: it may describe a
/// body that is not sent (HEAD, 304).
pub fn to_client(fields: &HeaderMap) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
    let nominated = Nominated::by(fields.get_all(CONNECTION).into_iter().map(HeaderValue::as_bytes));
    fields.iter().filter(move |(name, _)| !is_hop_by_hop(name) && !nominated.contain(name))
}

/// Fields that concern one connection alone, whether or not `Connection` names them.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    matches!(*name, CONNECTION | TE | TRAILER | TRANSFER_ENCODING | UPGRADE)
        || *name == KEEP_ALIVE
        || name.as_str().starts_with("proxy-")
}

/// Fields in which proxies say who sent a request; anybody else could say anything.
fn is_about_the_sender(name: &HeaderName) -> bool {
    name.as_str().starts_with("x-forwarded-") || *name == FORWARDED || *name == REAL_IP
}

/// The fields that `Connection` names; those that it may not name are kept nevertheless.
#[derive(Debug, Default)]
struct Nominated(Vec<String>);

impl Nominated {
    fn by<'a>(connection: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut names = Vec::new();
        for value in connection {
            let options = value.split(|&byte| byte == b',').map(|option| option.trim_ascii());
            let names_fields = options.filter(|option| {
                // The usual options name no field that would still be here.
                !option.eq_ignore_ascii_case(b"close") && !option.eq_ignore_ascii_case(b"keep-alive")
            });
            names.extend(names_fields.map(|option| String::from_utf8_lossy(option).to_ascii_lowercase()));
        }
        Self(names)
    }

    fn contain(&self, name: &HeaderName) -> bool {
        // Without its length a body would be something else to the next reader.
        *name != CONTENT_LENGTH && self.0.iter().any(|nominated| nominated == name.as_str())
    }
}

/// What earlier proxies said about the sender.
#[derive(Debug, Default)]
struct Forwarded {
    chain: Vec<HeaderValue>,
    host: Option<HeaderValue>,
    proto: Option<HeaderValue>,
}

impl Forwarded {
    fn note(&mut self, name: &HeaderName, value: HeaderValue) {
        if *name == FORWARDED_FOR {
            self.chain.push(value);
        } else if *name == FORWARDED_HOST {
            self.host = Some(value);
        } else if *name == FORWARDED_PROTO && matches!(value.as_bytes(), b"http" | b"https") {
            self.proto = Some(value);
        }
    }

    fn write(self, sender: &Sender<'_>, passed: &mut HeaderMap) {
        let said = if sender.trusted { self } else { Self::default() };
        let mut chain = Vec::new();
        for earlier in &said.chain {
            chain.extend_from_slice(earlier.as_bytes());
            chain.extend_from_slice(b", ");
        }
        chain.extend_from_slice(sender.address.to_canonical().to_string().as_bytes());
        if let Ok(chain) = HeaderValue::try_from(chain) {
            passed.insert(FORWARDED_FOR, chain);
        }
        let asked = || sender.host.and_then(|host| HeaderValue::from_bytes(host).ok());
        if let Some(host) = said.host.or_else(asked) {
            passed.insert(FORWARDED_HOST, host);
        }
        passed.insert(FORWARDED_PROTO, said.proto.unwrap_or(HeaderValue::from_static("http")));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sender(trusted: bool) -> Sender<'static> {
        Sender {
            address: IpAddr::from([192, 0, 2, 7]),
            host: Some(b"shop.example"),
            trusted,
            signature: Signature::Http11,
        }
    }

    fn pass(fields: &[(&str, &str)], trusted: bool) -> Vec<(String, String)> {
        let connection = fields.iter().filter(|(name, _)| *name == "connection");
        let connection = connection.map(|(_, value)| value.as_bytes());
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));
        let passed = to_service(connection, fields, &sender(trusted), &Origin::fresh());
        let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        let mut passed: Vec<_> = passed.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
        passed.retain(|(name, _)| name != REQUEST_ID && name != TRACEPARENT);
        passed.sort();
        passed
    }

    fn with_own(fields: &[(&str, &str)]) -> Vec<(String, String)> {
        let own = [
            ("via", "1.1 warren"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-host", "shop.example"),
            ("x-forwarded-proto", "http"),
        ];
        let mut all: Vec<_> = fields
            .iter()
            .filter(|(name, _)| !own.iter().any(|(own, _)| name == own) || *name == "via")
            .chain(own.iter().filter(|(own, _)| *own == "via" || !fields.iter().any(|(name, _)| name == own)))
            .chain(fields.iter().filter(|(name, _)| name.starts_with("x-forwarded-")))
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        all.sort();
        all
    }

    #[test]
    fn fields_of_the_connection_stop_here_and_the_others_pass_in_all_their_lines() {
        let passed = pass(
            &[
                ("accept", "*/*"),
                ("cookie", "a=1"),
                ("cookie", "b=2"),
                ("connection", "Keep-Alive, X-Hop"),
                ("connection", "close,x-other"),
                ("x-hop", "1"),
                ("x-other", "1"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "keep-alive"),
                ("proxy-authorization", "Basic x"),
                ("te", "trailers, gzip"),
                ("trailer", "x-sum"),
                ("transfer-encoding", "chunked"),
                ("upgrade", "h2c"),
                ("expect", "100-continue"),
                ("content-length", "12"),
                ("host", "shop.example"),
                ("via", "1.0 edge"),
            ],
            false,
        );

        let kept = [("accept", "*/*"), ("cookie", "a=1"), ("cookie", "b=2"), ("via", "1.0 edge")];
        assert_eq!(passed, with_own(&kept));
    }

    #[test]
    fn only_a_trusted_sender_may_say_for_whom_it_asks() {
        let said = [
            ("x-forwarded-for", "198.51.100.1"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x-forwarded-host", "public.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "444"),
            ("forwarded", "for=198.51.100.1"),
            ("x-real-ip", "198.51.100.1"),
        ];

        assert_eq!(pass(&said, false), with_own(&[]));
        let believed = [
            ("x-forwarded-for", "198.51.100.1, 10.0.0.1, 192.0.2.7"),
            ("x-forwarded-host", "public.example"),
            ("x-forwarded-proto", "https"),
        ];
        assert_eq!(pass(&said, true), with_own(&believed));
    }

    #[test]
    fn the_origin_goes_along_and_a_trace_state_only_with_its_trace() {
        let origin = Origin::fresh();
        let fields = [("x-request-id", "forged id"), ("tracestate", "a=1")];
        let fields = fields.iter().map(|(name, value)| (*name, value.as_bytes()));

        let passed = to_service(std::iter::empty(), fields, &sender(false), &origin);

        assert_eq!(passed[REQUEST_ID], origin.request_id.as_str());
        let trace = passed[TRACEPARENT].to_str().expect("a traceparent is ASCII");
        assert!(trace.contains(&origin.traceparent.trace_id()), "{trace}");
        assert!(!passed.contains_key("tracestate"));
    }

    #[test]
    fn answers_lose_what_concerns_the_connection_and_keep_every_cookie_and_their_length() {
        let mut answer = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, x-hop, content-length"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=5"),
            ("transfer-encoding", "chunked"),
            ("trailer", "x-sum"),
            ("proxy-authenticate", "Basic"),
            ("upgrade", "h2c"),
            ("content-length", "3"),
            ("set-cookie", "a=1"),
            ("set-cookie", "b=2"),
        ] {
            answer.append(name, HeaderValue::from_static(value));
        }

        let passed: Vec<_> =
            to_client(&answer).map(|(name, value)| (name.as_str(), value.as_bytes())).collect();

        let expected: [(&str, &[u8]); 3] =
            [("content-length", b"3"), ("set-cookie", b"a=1"), ("set-cookie", b"b=2")];
        assert_eq!(passed, expected);
    }
}
