use std::time::SystemTime;

use common::telemetry::trace::{SpanId, TraceContext};

/// The thread that ties a request to everything it causes, as [`common::telemetry::trace::Origin`] is, without
/// memory of its own to be asked for on every request.
#[derive(Clone, Copy, Debug)]
pub struct Origin {
    id: [u8; Self::LONGEST],
    length: u8,
    /// The gateway's span.
    pub trace: TraceContext,
    /// The client's.
    pub parent: Option<SpanId>,
}

impl Origin {
    /// The longest request id that is accepted.
    const LONGEST: usize = 128;

    /// Accepts what the client sent, as a span of its own in the client's trace, and makes the rest.
    pub fn accept_or_make(id: Option<&[u8]>, traceparent: Option<&[u8]>, now: SystemTime) -> Self {
        let context = traceparent
            .and_then(|raw| std::str::from_utf8(raw).ok())
            .and_then(|raw| raw.parse::<TraceContext>().ok());
        let trace = context.map_or_else(TraceContext::fresh, TraceContext::continued);
        let parent = context.map(|context| context.span_id());
        let mut origin = Self { id: [0; Self::LONGEST], length: 0, trace, parent };
        match id.filter(|id| is_sound(id)) {
            Some(id) => origin.set(id),
            None => {
                let mut text = [0; 36];
                origin.set(fresh(now).hyphenated().encode_lower(&mut text).as_bytes());
            }
        }
        origin
    }

    /// The request's id.
    pub fn id(&self) -> &str {
        // Only ASCII was put in.
        std::str::from_utf8(&self.id[..usize::from(self.length)]).unwrap_or_default()
    }

    /// Appends the line that the client gets, and the service.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"x-request-id: ");
        out.extend_from_slice(&self.id[..usize::from(self.length)]);
        out.extend_from_slice(b"\r\n");
    }

    fn set(&mut self, id: &[u8]) {
        self.id[..id.len()].copy_from_slice(id);
        self.length = u8::try_from(id.len()).unwrap_or_default();
    }
}

/// As [`common::telemetry::trace::RequestId::accept`] has it.
fn is_sound(id: &[u8]) -> bool {
    (1..=Origin::LONGEST).contains(&id.len())
        && id.iter().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\'))
}

/// Makes an id that is ordered by time. It need not be hard to guess, so it costs no system call.
fn fresh(now: SystemTime) -> uuid::Uuid {
    let since_epoch = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
    let mut random = [0; 10];
    fastrand::fill(&mut random);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_client_sent_is_kept_where_it_is_sound() {
        let now = SystemTime::now();
        let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

        let kept = Origin::accept_or_make(Some(b"r-7"), Some(trace.as_bytes()), now);
        assert_eq!(
            (kept.id(), kept.trace.trace_id()),
            ("r-7", "4bf92f3577b34da6a3ce929d0e0e4736".to_owned())
        );

        for id in [&b""[..], b"two words", b"quo\"te", &[b'x'; 129], "ü".as_bytes()] {
            assert_eq!(Origin::accept_or_make(Some(id), Some(b"nonsense"), now).id().len(), 36);
        }
    }
}
