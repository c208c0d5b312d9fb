//! A log line for people.

use std::{borrow::Cow, fmt};

use super::pairs;
use crate::telemetry::trace::Origin;

/// A message and, unless it says so itself, in the course of which request or event it was logged.
pub(super) struct Message<'a> {
    pub(super) message: &'a str,
    pub(super) origin: Option<&'a Origin>,
}

impl fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&one_line(self.message))?;
        let Some(origin) = self.origin else { return Ok(()) };
        let pairs = pairs::read(self.message).unwrap_or_default();
        let says = |wanted: &str| pairs.iter().any(|(key, _)| *key == wanted);
        if !says("request_id") {
            write!(f, " request_id={}", origin.request_id)?;
        }
        if !says("trace_id") {
            write!(f, " trace_id={}", origin.traceparent.trace_id())?;
        }
        Ok(())
    }
}

/// Nobody writes a second line by what is in the first.
fn one_line(message: &str) -> Cow<'_, str> {
    if message.contains(['\n', '\r']) {
        Cow::Owned(message.replace('\n', "\\n").replace('\r', "\\r"))
    } else {
        Cow::Borrowed(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_named_once_and_quotes_do_not_hide_it() {
        let origin = Origin::fresh();
        let (id, trace) = (origin.request_id.clone(), origin.traceparent.trace_id());
        let written = |message: &str| Message { message, origin: Some(&origin) }.to_string();

        assert_eq!(written("event=a"), format!("event=a request_id={id} trace_id={trace}"));
        assert_eq!(written("event=a request_id=r trace_id=t"), "event=a request_id=r trace_id=t");
        assert_eq!(
            written(r#"event=a cause="request_id=r""#),
            format!(r#"event=a cause="request_id=r" request_id={id} trace_id={trace}"#)
        );
    }

    #[test]
    fn a_message_is_one_line() {
        let message = Message { message: "a\nb\r\nc", origin: None };

        assert_eq!(message.to_string(), "a\\nb\\r\\nc");
    }
}
