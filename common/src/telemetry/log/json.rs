//! A log line as a JSON object.

use std::io::{self, Write};

use super::pairs::{self, Value};
use crate::telemetry::trace::Origin;

/// What is known of a line beside its message.
pub(super) struct Line<'a> {
    pub(super) time: String,
    pub(super) level: &'static str,
    pub(super) service: &'static str,
    pub(super) target: &'a str,
    pub(super) message: &'a str,
    /// The request, or the event, in whose course it was logged.
    pub(super) origin: Option<&'a Origin>,
}

impl Line<'_> {
    /// Writes the line. Each pair of the message is a field; a message of another kind is the field `message`.
    pub(super) fn write_to(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut object = Object { out, keys: Vec::new() };
        object.text("time", &self.time)?;
        object.text("level", self.level)?;
        object.text("service", self.service)?;
        object.text("target", self.target)?;
        match pairs::read(self.message) {
            Some(pairs) => {
                for (key, value) in pairs {
                    match value {
                        Value::Bare(text) if is_plain(key, &text) => object.raw(key, &text)?,
                        Value::Bare(text) | Value::Quoted(text) => object.text(key, &text)?,
                    }
                }
            }
            None => object.text("message", self.message)?,
        }
        if let Some(origin) = self.origin {
            object.default("request_id", origin.request_id.as_str())?;
            object.default("trace_id", &origin.traceparent.trace_id())?;
        }
        object.out.write_all(b"}\n")
    }
}

/// Whether JSON writes the value as it stands there: a number, true or false. Ids are texts even where they look like a
/// number, or their kind would change from line to line.
fn is_plain(key: &str, text: &str) -> bool {
    if key == "id" || key.ends_with("_id") {
        return false;
    }
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let all_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // Readers keep 15 digits for certain.
    let is_number = all_digits(whole)
        && all_digits(fraction)
        && (whole == "0" || !whole.starts_with('0'))
        && text.len() <= 15;
    is_number || matches!(text, "true" | "false")
}

/// An object on its way, and the keys that it has.
struct Object<'w> {
    out: &'w mut dyn Write,
    keys: Vec<String>,
}

impl Object<'_> {
    fn text(&mut self, key: &str, value: &str) -> io::Result<()> {
        self.key(key)?;
        self.json(value)
    }

    fn raw(&mut self, key: &str, value: &str) -> io::Result<()> {
        self.key(key)?;
        self.out.write_all(value.as_bytes())
    }

    /// Writes a field unless there is one.
    fn default(&mut self, key: &str, value: &str) -> io::Result<()> {
        if self.keys.iter().any(|known| known == key) { Ok(()) } else { self.text(key, value) }
    }

    /// Begins a field; where the key is taken, `_` goes in front of it.
    fn key(&mut self, key: &str) -> io::Result<()> {
        let mut key = key.to_owned();
        while self.keys.contains(&key) {
            key.insert(0, '_');
        }
        self.out.write_all(if self.keys.is_empty() { b"{" } else { b"," })?;
        self.json(&key)?;
        self.out.write_all(b":")?;
        self.keys.push(key);
        Ok(())
    }

    fn json(&mut self, text: &str) -> io::Result<()> {
        serde_json::to_writer(&mut self.out, text).map_err(io::Error::from)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn written(message: &str, origin: Option<&Origin>) -> String {
        let (time, target) = ("2026-11-22T13:00:15.239Z".to_owned(), "common::relay");
        let mut out = Vec::new();
        let line = Line { time, level: "WARN", service: "users", target, message, origin };
        line.write_to(&mut out).expect("memory takes everything");
        String::from_utf8(out).expect("JSON is text")
    }

    fn read(message: &str, origin: Option<&Origin>) -> Value {
        let text = written(message, origin);
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
    }

    #[test]
    fn every_pair_is_a_field_and_numbers_are_numbers() {
        let line = read(
            r#"event=retry id=7 n=-3 ms=1.5 on=true code=007 huge=12345678901234567890 trace=1e5 cause="a \"b\"\n""#,
            None,
        );

        assert_eq!(
            line,
            json!({
                "time": "2026-11-22T13:00:15.239Z", "level": "WARN", "service": "users", "target": "common::relay",
                "event": "retry", "id": "7", "n": -3, "ms": 1.5, "on": true, "code": "007",
                "huge": "12345678901234567890", "trace": "1e5", "cause": "a \"b\"\n",
            })
        );
    }

    #[test]
    fn text_that_is_no_pairs_is_the_message() {
        assert_eq!(read("starting 2 workers\nnow", None)["message"], "starting 2 workers\nnow");
    }

    #[test]
    fn a_key_that_is_taken_gets_another_name() {
        let line = read("event=listening service=gateway_admin event=again level=high", None);

        assert_eq!((&line["service"], &line["_service"]), (&json!("users"), &json!("gateway_admin")));
        assert_eq!((&line["event"], &line["_event"]), (&json!("listening"), &json!("again")));
        assert_eq!((&line["level"], &line["_level"]), (&json!("WARN"), &json!("high")));
    }

    #[test]
    fn the_request_is_named_once() {
        let origin = Origin::fresh();

        let named = read("event=a", Some(&origin));
        assert_eq!(named["request_id"], origin.request_id.as_str());
        assert_eq!(named["trace_id"], origin.traceparent.trace_id());

        let explicit = written("event=a request_id=r-7", Some(&origin));
        assert_eq!(explicit.matches("request_id").count(), 1, "{explicit}");
        assert!(explicit.contains("r-7"), "{explicit}");
    }

    proptest! {
        #[test]
        fn whatever_is_logged_is_one_line_of_sound_json(message in ".*|[ -~]*|[a-c=\" \\\\]*") {
            let text = written(&message, None);

            prop_assert_eq!(text.matches('\n').count(), 1);
            prop_assert!(serde_json::from_str::<Value>(&text).is_ok(), "{}", text);
        }
    }
}
