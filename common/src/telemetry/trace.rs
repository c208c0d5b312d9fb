//! The thread that ties a request to everything it causes: a W3C trace context and a request id.
//!
//! Both are accepted from the caller or made, logged with every line of the request, passed on over HTTP,
//! and stored with the outbox row, so that they also cross the broker.

use std::{fmt, str::FromStr, time::SystemTime};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Name of the header that carries a [`TraceContext`], over HTTP and over AMQP.
pub const TRACEPARENT: &str = "traceparent";

/// Name of the header that carries a [`RequestId`], over HTTP and over AMQP.
pub const REQUEST_ID: &str = "x-request-id";

/// What travels with a request and with every event that it causes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Origin {
    /// The id that the client gave or the gateway made; named in every problem and log line.
    pub request_id: RequestId,
    /// Where in which trace the work belongs.
    pub traceparent: TraceContext,
    /// When this service took the request; `None` where it came another way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accepted_at: Option<Timestamp>,
}

impl Origin {
    /// Starts a new trace, for work that no request caused.
    pub fn fresh() -> Self {
        Self { request_id: RequestId::fresh(), traceparent: TraceContext::fresh(), accepted_at: None }
    }
}

/// A `traceparent` of W3C Trace Context (version 00): trace id, parent span id, flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace_id: u128,
    span_id: u64,
    flags: u8,
}

impl TraceContext {
    /// Starts a new, sampled trace.
    pub fn fresh() -> Self {
        let (trace_id, span_id) = (fastrand::u128(1..), fastrand::u64(1..));
        Self { trace_id, span_id, flags: 1 }
    }

    /// Returns a child: the same trace with a span id of its own.
    pub fn child(self) -> Self {
        Self { span_id: fastrand::u64(1..), ..self }
    }

    /// The trace id as 32 lower-case hexadecimal digits.
    pub fn trace_id(&self) -> String {
        format!("{:032x}", self.trace_id)
    }
}

impl TraceContext {
    /// Appends the 55 bytes of the header's value, as [`Display`](fmt::Display) writes them, only faster: a proxy
    /// writes one for every request.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut hex = |bytes: &[u8]| {
            for byte in bytes {
                out.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
            }
            out.push(b'-');
        };
        hex(&[0]);
        hex(&self.trace_id.to_be_bytes());
        hex(&self.span_id.to_be_bytes());
        hex(&[self.flags]);
        out.pop();
    }
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{:032x}-{:016x}-{:02x}", self.trace_id, self.span_id, self.flags)
    }
}

/// The text is not a `traceparent`.
#[derive(Debug, PartialEq, Eq)]
pub struct InvalidTraceparent;

impl fmt::Display for InvalidTraceparent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a traceparent of W3C Trace Context")
    }
}

impl std::error::Error for InvalidTraceparent {}

impl FromStr for TraceContext {
    type Err = InvalidTraceparent;

    /// Parses by W3C Trace Context section 3.2: lower-case hexadecimal, all-zero ids are invalid, a later
    /// version may append fields and is read as version 00.
    fn from_str(raw: &str) -> Result<Self, InvalidTraceparent> {
        let mut fields = raw.split('-');
        let mut field = |digits: usize| {
            let text = fields.next().ok_or(InvalidTraceparent)?;
            let lower_hex = text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            if text.len() == digits && lower_hex {
                u128::from_str_radix(text, 16).map_err(|_| InvalidTraceparent)
            } else {
                Err(InvalidTraceparent)
            }
        };
        let (version, trace_id, span_id, flags) = (field(2)?, field(32)?, field(16)?, field(2)?);
        let trailing = fields.next().is_some();
        if version == 0xff || trace_id == 0 || span_id == 0 || (version == 0 && trailing) {
            return Err(InvalidTraceparent);
        }
        let span_id = u64::try_from(span_id).map_err(|_| InvalidTraceparent)?;
        let flags = u8::try_from(flags).map_err(|_| InvalidTraceparent)?;
        Ok(Self { trace_id, span_id, flags })
    }
}

impl Serialize for TraceContext {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TraceContext {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = std::borrow::Cow::<str>::deserialize(deserializer)?;
        raw.parse().map_err(serde::de::Error::custom)
    }
}

/// The id of one request: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// Makes a new id, ordered by time. It need not be hard to guess, so it costs no system call.
    pub fn fresh() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let mut random = [0; 10];
        fastrand::fill(&mut random);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
    }

    /// Accepts a caller's id, or returns `None` where it is empty, longer than 128 bytes, or holds anything
    /// but visible ASCII (it goes into log lines and headers as it is).
    pub fn accept(raw: &str) -> Option<Self> {
        let sound = (1..=128).contains(&raw.len())
            && raw.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        sound.then(|| Self(raw.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXAMPLE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_traceparent_is_read_and_written_unchanged() {
        let context: TraceContext = EXAMPLE.parse().expect("the standard's own example");

        assert_eq!(context.to_string(), EXAMPLE);
        let mut written = Vec::new();
        context.write_to(&mut written);
        assert_eq!(written, EXAMPLE.as_bytes());
        assert_eq!(context.trace_id(), "4bf92f3577b34da6a3ce929d0e0e4736");
    }

    #[test]
    fn a_child_stays_in_the_trace_with_a_span_of_its_own() {
        let parent = TraceContext::fresh();
        let child = parent.child();

        assert_eq!(parent.trace_id(), child.trace_id());
        assert_ne!(parent.to_string(), child.to_string());
    }

    #[test]
    fn malformed_traceparents_are_refused() {
        for raw in [
            "",
            "00",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-+1",
        ] {
            assert_eq!(raw.parse::<TraceContext>(), Err(InvalidTraceparent), "{raw}");
        }
    }

    #[test]
    fn a_later_version_may_carry_more_fields() {
        let raw = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";

        assert_eq!(raw.parse::<TraceContext>().map(|c| c.to_string()), Ok(EXAMPLE.to_owned()));
    }

    #[test]
    fn request_ids_that_could_break_a_log_line_are_not_accepted() {
        assert!(RequestId::accept("order-7").is_some());
        for raw in ["", "two words", "line\nbreak", "quo\"te", "ümlaut", &"x".repeat(129)] {
            assert!(RequestId::accept(raw).is_none(), "{raw:?}");
        }
    }
}
