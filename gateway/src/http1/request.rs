use std::mem::MaybeUninit;

use super::{Field, FieldName, HeadFault};

/// The most fields that a head may have, whatever the settings say.
pub const MOST_FIELDS: usize = 128;

/// The most fields that `Connection` may name.
const MOST_NOMINATED: usize = 32;

/// Fields that are for the service, and that no `Connection` may name (RFC 9110 section 7.6.1): without them it would get another
/// request than the one that was decided on here, such as a write that comes again without its key.
const FOR_THE_SERVICE: [&str; 16] = [
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Content-Type",
    "Content-Encoding",
    "Authorization",
    "Cookie",
    "Origin",
    "Idempotency-Key",
    "If-Match",
    "If-None-Match",
    "If-Modified-Since",
    "If-Unmodified-Since",
    "If-Range",
    "Range",
    "Cache-Control",
];

/// Room for the fields of one head.
pub type Slots<'b> = [MaybeUninit<Field<'b>>; MOST_FIELDS];

/// The methods that mean something to the gateway.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
#[expect(missing_docs, reason = "they are what they are called")]
pub enum Method {
    Get,
    Head,
    Post,
    Put,
    Patch,
    Delete,
    Options,
    /// Would make a tunnel of the connection.
    Connect,
    /// Shows what the gateway adds to a request.
    Trace,
    Other,
}

impl Method {
    fn of(name: &str) -> Self {
        match name {
            "GET" => Self::Get,
            "HEAD" => Self::Head,
            "POST" => Self::Post,
            "PUT" => Self::Put,
            "PATCH" => Self::Patch,
            "DELETE" => Self::Delete,
            "OPTIONS" => Self::Options,
            "CONNECT" => Self::Connect,
            "TRACE" => Self::Trace,
            _ => Self::Other,
        }
    }

    /// What the method is called in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Head => "HEAD",
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
            Self::Options => "OPTIONS",
            Self::Connect => "CONNECT",
            Self::Trace => "TRACE",
            Self::Other => "other",
        }
    }

    /// Whether asking changes nothing (RFC 9110 section 9.2.1).
    pub fn is_safe(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Options)
    }

    /// Whether asking twice is the same as asking once (RFC 9110 section 9.2.2).
    pub fn is_idempotent(self) -> bool {
        matches!(self, Self::Get | Self::Head | Self::Put | Self::Delete | Self::Options)
    }
}

/// How long a request's body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// The request says nothing of a body: there is none.
    None,
    /// So many bytes.
    Known(u64),
    /// As many as come, in chunks.
    Chunked,
}

/// A request's head, read and found sound.
#[derive(Debug)]
pub struct RequestHead<'h, 'b> {
    /// The method.
    pub method: Method,
    /// The method as it was written.
    pub method_name: &'b str,
    /// The path; starts with a slash, or is `*`.
    pub path: &'b str,
    /// What follows the question mark.
    pub query: Option<&'b str>,
    /// The host that was asked for.
    pub host: &'b [u8],
    /// Whether it came as HTTP/1.0.
    pub old: bool,
    /// Every field.
    pub fields: &'h [Field<'b>],
    /// The body.
    pub length: BodyLength,
    /// Whether the client wants to go on with this connection.
    pub keep_alive: bool,
    /// Whether the client waits with its body until it is told to go on.
    pub expects_continue: bool,
    /// Who asks.
    pub authorization: Option<&'b [u8]>,
    /// Which page asks.
    pub origin: Option<&'b [u8]>,
    /// Which method a page wants to use.
    pub asked_method: Option<&'b [u8]>,
    /// Which fields a page wants to send.
    pub asked_fields: Option<&'b [u8]>,
    /// Which protocol to change to, where `Connection` says that this is wanted.
    pub upgrade: Option<&'b [u8]>,
    /// Whether there is an `Idempotency-Key`.
    pub keyed: bool,
    /// The request's id.
    pub request_id: Option<&'b [u8]>,
    /// The trace that the request belongs to, where one was named and only one.
    pub traceparent: Option<&'b [u8]>,
    /// Whether `Connection` names fields.
    nominates: bool,
}

impl<'h, 'b> RequestHead<'h, 'b> {
    /// Reads a head whose end is known (by [`HeadScan`](super::HeadScan)).
    ///
    /// # Errors
    /// When it is not sound.
    pub fn read(bytes: &'b [u8], slots: &'h mut Slots<'b>, most_fields: usize) -> Result<Self, HeadFault> {
        let most = most_fields.min(MOST_FIELDS);
        let mut raw = httparse::Request::new(&mut []);
        match raw.parse_with_uninit_headers(bytes, &mut slots[..most]) {
            Ok(httparse::Status::Complete(end)) if end == bytes.len() => {}
            Err(httparse::Error::TooManyHeaders) => return Err(HeadFault::TooManyFields),
            Err(httparse::Error::Version) => return Err(HeadFault::Version),
            _ => return Err(HeadFault::Malformed),
        }
        let (Some(method_name), Some(target), Some(version)) = (raw.method, raw.path, raw.version) else {
            return Err(HeadFault::Malformed);
        };
        let method = Method::of(method_name);
        let (path, query, authority) = split_target(method, target)?;
        let mut head = Self {
            method,
            method_name,
            path,
            query,
            host: authority.unwrap_or_default(),
            old: version == 0,
            fields: raw.headers,
            length: BodyLength::None,
            keep_alive: version == 1,
            expects_continue: false,
            authorization: None,
            origin: None,
            asked_method: None,
            asked_fields: None,
            upgrade: None,
            keyed: false,
            request_id: None,
            traceparent: None,
            nominates: false,
        };
        head.look_at_fields(authority)?;
        Ok(head)
    }

    fn look_at_fields(&mut self, authority: Option<&'b [u8]>) -> Result<(), HeadFault> {
        let (mut hosts, mut traces, mut nominated) = (0, 0, 0);
        let (mut length, mut chunked, mut upgrade) = (None, false, None);
        let (mut wants_upgrade, mut wants_close, mut wants_keep_alive) = (false, false, false);
        for field in self.fields {
            let value = field.value;
            match FieldName::of(field.name) {
                FieldName::Host => {
                    hosts += 1;
                    if !is_host(value) {
                        return Err(HeadFault::Host);
                    }
                    if authority.is_none() {
                        self.host = value;
                    }
                }
                FieldName::ContentLength => {
                    if length.is_some() {
                        return Err(HeadFault::ContentLength);
                    }
                    length = Some(decimal(value).ok_or(HeadFault::ContentLength)?);
                }
                FieldName::TransferEncoding => {
                    // `chunked, chunked` and its like are what smugglers write.
                    if chunked || self.old || !value.eq_ignore_ascii_case(b"chunked") {
                        return Err(HeadFault::TransferCoding);
                    }
                    chunked = true;
                }
                FieldName::Connection => {
                    for option in options(value) {
                        match option {
                            _ if option.eq_ignore_ascii_case(b"close") => wants_close = true,
                            _ if option.eq_ignore_ascii_case(b"keep-alive") => wants_keep_alive = true,
                            _ if option.eq_ignore_ascii_case(b"upgrade") => wants_upgrade = true,
                            b"" => {}
                            _ => {
                                of_the_connection(option)?;
                                nominated += 1;
                            }
                        }
                    }
                }
                FieldName::Expect => {
                    if !value.eq_ignore_ascii_case(b"100-continue") {
                        return Err(HeadFault::Expectation);
                    }
                    self.expects_continue = !self.old;
                }
                FieldName::Upgrade => upgrade = Some(value),
                FieldName::Authorization => once(&mut self.authorization, value, "Authorization")?,
                FieldName::Origin => once(&mut self.origin, value, "Origin")?,
                FieldName::AskedMethod => self.asked_method = Some(value),
                FieldName::AskedFields => self.asked_fields = Some(value),
                FieldName::IdempotencyKey => self.keyed = true,
                FieldName::RequestId => self.request_id = Some(value),
                FieldName::Traceparent => {
                    traces += 1;
                    self.traceparent = (traces == 1).then_some(value);
                }
                _ => {}
            }
        }
        // RFC 9112 section 3.2: exactly one, also where the target names another, which then counts.
        if hosts > 1 || (hosts == 0 && !self.old) {
            return Err(HeadFault::Host);
        }
        if nominated > MOST_NOMINATED {
            return Err(HeadFault::Connection);
        }
        self.nominates = nominated > 0;
        self.length = match (length, chunked) {
            (None, false) => BodyLength::None,
            (Some(length), false) => BodyLength::Known(length),
            (None, true) => BodyLength::Chunked,
            (Some(_), true) => return Err(HeadFault::TwoLengths),
        };
        self.keep_alive = !wants_close && (!self.old || wants_keep_alive);
        if wants_upgrade && let Some(protocol) = upgrade {
            if !matches!(self.length, BodyLength::None | BodyLength::Known(0)) {
                return Err(HeadFault::UpgradeWithBody);
            }
            self.upgrade = Some(protocol);
        }
        Ok(())
    }

    /// Whether `Connection` names the field, which then concerns this connection alone.
    pub fn nominates(&self, name: &str) -> bool {
        self.nominates && nominated(self.fields, name)
    }
}

/// Whether some `Connection` among `fields` names `name`.
pub(super) fn nominated(fields: &[Field<'_>], name: &str) -> bool {
    fields
        .iter()
        .filter(|field| FieldName::of(field.name) == FieldName::Connection)
        .any(|field| options(field.value).any(|option| option.eq_ignore_ascii_case(name.as_bytes())))
}

/// Whether a field that `Connection` names can be a matter of the connection.
fn of_the_connection(name: &[u8]) -> Result<(), HeadFault> {
    match FOR_THE_SERVICE.into_iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes())) {
        None => Ok(()),
        Some(known) => Err(HeadFault::NotOfTheConnection(known)),
    }
}

/// The options of a `Connection` field.
pub(super) fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

/// A number as it stands in `Content-Length`: digits and nothing else.
pub(super) fn decimal(value: &[u8]) -> Option<u64> {
    if !(1..=19).contains(&value.len()) {
        return None;
    }
    value.iter().try_fold(0u64, |sum, digit| match digit {
        b'0'..=b'9' => sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

fn once<'b>(place: &mut Option<&'b [u8]>, value: &'b [u8], name: &'static str) -> Result<(), HeadFault> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(HeadFault::Repeated(name)),
    }
}

type Target<'b> = (&'b str, Option<&'b str>, Option<&'b [u8]>);

/// Takes apart what is asked for: a path, a URL (RFC 9112 section 3.2.2), or `*`.
fn split_target(method: Method, target: &str) -> Result<Target<'_>, HeadFault> {
    if !target.is_ascii() || target.contains('#') {
        return Err(HeadFault::Target);
    }
    let (authority, rest) = if target.starts_with('/') || target == "*" {
        (None, target)
    } else if method == Method::Connect {
        // Refused anyway, whatever it names.
        (None, "*")
    } else {
        let (scheme, rest) = target.split_once("://").ok_or(HeadFault::Target)?;
        if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
            return Err(HeadFault::Target);
        }
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        // Without whom the client logs in as, which is no part of a host.
        let host = rest[..end].rsplit('@').next().unwrap_or_default().as_bytes();
        if host.is_empty() || !is_host(host) {
            return Err(HeadFault::Host);
        }
        (Some(host), &rest[end..])
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    Ok((if path.is_empty() { "/" } else { path }, query, authority))
}

/// Whether this can be a host with a port (RFC 3986 section 3.2.2, without a user). Empty is sound.
fn is_host(value: &[u8]) -> bool {
    value.len() <= 255
        && value.iter().all(|byte| byte.is_ascii_alphanumeric() || b".-_~:[]%!$&'()*+,;=".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is read, or the fault.
    fn length(lines: &str) -> Result<BodyLength, HeadFault> {
        read(&format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), |head| head.length)
    }

    fn read<T>(bytes: &str, look: impl Fn(&RequestHead<'_, '_>) -> T) -> Result<T, HeadFault> {
        let mut slots = [const { MaybeUninit::uninit() }; MOST_FIELDS];
        RequestHead::read(bytes.as_bytes(), &mut slots, 100).map(|head| look(&head))
    }

    #[test]
    fn a_body_has_one_length_and_that_is_written_plainly() {
        for (lines, expected) in [
            ("", Ok(BodyLength::None)),
            ("Content-Length: 12\r\n", Ok(BodyLength::Known(12))),
            ("Content-Length:\t12 \r\n", Ok(BodyLength::Known(12))),
            ("Transfer-Encoding: chunked\r\n", Ok(BodyLength::Chunked)),
            ("transfer-encoding:\tCHUNKED\r\n", Ok(BodyLength::Chunked)),
            ("Content-Length: +1\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: -1\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: 1_0\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: 0x1\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: \r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: 5, 5\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: 5\r\nContent-Length: 5\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: 99999999999999999999\r\n", Err(HeadFault::ContentLength)),
            ("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", Err(HeadFault::TwoLengths)),
            ("Transfer-Encoding: chunked, chunked\r\n", Err(HeadFault::TransferCoding)),
            ("Transfer-Encoding: gzip, chunked\r\n", Err(HeadFault::TransferCoding)),
            ("Transfer-Encoding: identity\r\n", Err(HeadFault::TransferCoding)),
            ("Transfer-Encoding: \"chunked\"\r\n", Err(HeadFault::TransferCoding)),
            ("Transfer-Encoding: chunked;x=y\r\n", Err(HeadFault::TransferCoding)),
            ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", Err(HeadFault::TransferCoding)),
            ("Transfer-Encoding : chunked\r\n", Err(HeadFault::Malformed)),
            ("Transfer-Encoding: chunked\r\n folded\r\n", Err(HeadFault::Malformed)),
            (" Transfer-Encoding: chunked\r\n", Err(HeadFault::Malformed)),
            ("Transfer-Encoding: chun\0ked\r\n", Err(HeadFault::Malformed)),
        ] {
            assert_eq!(length(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn there_is_one_host() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a:80\r\n\r\n", Ok("a:80")),
            ("GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Ok("b")),
            ("GET http://me:x@b/ HTTP/1.1\r\nHost: a\r\n\r\n", Ok("b")),
            ("GET / HTTP/1.0\r\n\r\n", Ok("")),
            ("GET / HTTP/1.1\r\n\r\n", Err(HeadFault::Host)),
            ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", Err(HeadFault::Host)),
            ("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", Err(HeadFault::Host)),
            ("GET / HTTP/1.1\r\nHost: a b\r\n\r\n", Err(HeadFault::Host)),
            ("GET http:///x HTTP/1.1\r\nHost: a\r\n\r\n", Err(HeadFault::Host)),
            ("GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n", Err(HeadFault::Target)),
            ("GET x HTTP/1.1\r\nHost: a\r\n\r\n", Err(HeadFault::Target)),
            ("GET /#x HTTP/1.1\r\nHost: a\r\n\r\n", Err(HeadFault::Target)),
            ("GET / HTTP/2.0\r\nHost: a\r\n\r\n", Err(HeadFault::Version)),
        ] {
            let host = read(head, |head| String::from_utf8_lossy(head.host).into_owned());
            assert_eq!(host, expected.map(str::to_owned), "{head:?}");
        }
    }

    #[test]
    fn a_connection_goes_on_unless_the_client_says_otherwise() {
        for (head, expected) in [
            ("GET / HTTP/1.1\r\nHost: a\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: x, Close\r\n\r\n", false),
            ("GET / HTTP/1.0\r\n\r\n", false),
            ("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", true),
            ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, keep-alive\r\n\r\n", false),
        ] {
            assert_eq!(read(head, |head| head.keep_alive), Ok(expected), "{head:?}");
        }
    }

    #[test]
    fn named_fields_are_found_and_many_names_are_refused() {
        let head = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\n\r\n";
        assert_eq!(read(head, |head| (head.nominates("x-hop"), head.nominates("x-hops"))), Ok((true, false)));

        let many = format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", "x,".repeat(100));
        assert_eq!(read(&many, |_| ()), Err(HeadFault::Connection));
    }

    #[test]
    fn what_is_for_the_service_is_no_matter_of_the_connection() {
        let naming = |options: &str| {
            read(&format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {options}\r\n\r\n"), |_| ())
        };
        for name in FOR_THE_SERVICE {
            let expected = Err(HeadFault::NotOfTheConnection(name));
            assert_eq!(naming(&format!("close, x-hop,\t{}", name.to_ascii_lowercase())), expected, "{name}");
            assert_eq!(naming(&format!("close\r\nConnection: {name}")), expected, "{name}");
        }
        assert_eq!(naming("keep-alive, TE, Upgrade, HTTP2-Settings, Keep-Alive, X-Range"), Ok(()));
    }

    #[test]
    fn an_upgrade_is_wanted_only_where_both_fields_say_so() {
        let asks = |lines: &str| {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
            read(&head, |head| head.upgrade.map(<[u8]>::to_vec))
        };
        assert_eq!(
            asks("Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"),
            Ok(Some(b"websocket".to_vec()))
        );
        assert_eq!(asks("Upgrade: websocket\r\n"), Ok(None));
        assert_eq!(
            asks("Upgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 3\r\n"),
            Err(HeadFault::UpgradeWithBody)
        );
    }

    #[test]
    fn what_may_come_once_comes_once() {
        let twice = "GET / HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer x\r\nauthorization: Bearer y\r\n\r\n";
        assert_eq!(read(twice, |_| ()), Err(HeadFault::Repeated("Authorization")));
        let traces = "GET / HTTP/1.1\r\nHost: a\r\nTraceparent: a\r\nTraceparent: b\r\n\r\n";
        assert_eq!(read(traces, |head| head.traceparent.is_some()), Ok(false));
    }
}
