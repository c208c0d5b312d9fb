use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use jiff::Timestamp;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::{
    broker::{
        message::{Incoming, REASON, ROUTING_KEY, SHORT_MOST},
        rewrite::{ATTEMPTS, FAILED_AT, QUEUE},
    },
    event::EventId,
};

/// How much of a body is kept, in bytes: anybody may publish anything, and many are listed at once.
const BODY_MOST: usize = 16 * 1024;

/// How much of a header's text is kept, in bytes.
const TEXT_MOST: usize = 2 * 1024;

/// How deep headers within headers are followed.
const DEPTH_MOST: usize = 8;

/// A message that its consumer could not handle.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Names this letter as long as it lies here: made of its id, its queue, when it died and its body, whether or not
    /// its publisher gave it an id. Letters that have all of these in common have one key.
    pub key: String,
    /// What its consumer calls it, in the log and the ledger: the publisher's id, or the one that is derived where it gave
    /// none.
    pub id: EventId,
    /// The routing key that it was published with.
    pub routing_key: String,
    /// The queue that it was in.
    pub queue: Option<String>,
    /// Why it is here.
    pub reason: Option<String>,
    /// How many attempts were made at it.
    pub attempts: Option<i64>,
    /// Since when it is here.
    pub failed_at: Option<Timestamp>,
    /// Its other headers: not those that the fields above tell. Long ones are cut.
    pub headers: Map<String, Value>,
    /// What it says: the first 16 KiB.
    pub body: Bytes,
    /// How long that is in whole.
    pub body_bytes: usize,
}

impl DeadLetter {
    pub(super) fn read(message: &Incoming) -> Self {
        let attempts = match message.header(ATTEMPTS) {
            Some(AMQPValue::LongLongInt(attempts)) => Some(*attempts),
            _ => None,
        };
        let routing_key = routing_key(message);
        Self {
            key: key_of(message),
            id: message.id(&message.event_type(&routing_key)),
            routing_key,
            queue: queue_of(message),
            reason: reason_of(message),
            attempts,
            failed_at: failed_at(message),
            headers: message.properties.headers().as_ref().map(other_headers).unwrap_or_default(),
            // A copy, or the rest would be kept with it.
            body: Bytes::copy_from_slice(&message.body[..message.body.len().min(BODY_MOST)]),
            body_bytes: message.body.len(),
        }
    }
}

/// What names a letter: 64 bits of SHA-256, in hexadecimal. A letter that was replayed and died again has another one.
pub(super) fn key_of(message: &Incoming) -> String {
    let id = message.properties.message_id().as_ref().map(|id| id.as_str().to_owned());
    let failed_at = failed_at(message).map(|at| at.to_string());
    let mut hash = Sha256::new();
    for part in [id, queue_of(message), Some(routing_key(message)), failed_at] {
        // With its length in front, or two letters could share their parts out differently.
        let part = part.unwrap_or_default();
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.update(&message.body);
    hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The queue that a dead letter was in.
pub(super) fn queue_of(message: &Incoming) -> Option<String> {
    let queue = message.text(QUEUE).or_else(|| match last_death(message)?.inner().get("queue")? {
        AMQPValue::LongString(queue) => Some(queue.to_string()),
        _ => None,
    });
    // What is longer than any name names none.
    queue.filter(|queue| queue.len() <= SHORT_MOST)
}

/// The routing key that it was published with.
pub(super) fn routing_key(message: &Incoming) -> String {
    message.kept_routing_key().unwrap_or(&message.routing_key).to_owned()
}

/// Why it is here. A reason for a retry may be older than the broker's own.
fn reason_of(message: &Incoming) -> Option<String> {
    if message.header(QUEUE).is_some() {
        return message.text(REASON).map(|reason| cut(reason.as_bytes()));
    }
    match last_death(message)?.inner().get("reason")? {
        AMQPValue::LongString(reason) => Some(format!("moved by the broker: {}", cut(reason.as_bytes()))),
        _ => None,
    }
}

/// Since when it is here.
fn failed_at(message: &Incoming) -> Option<Timestamp> {
    if message.header(QUEUE).is_some() {
        return message.text(FAILED_AT)?.parse().ok();
    }
    match last_death(message)?.inner().get("time")? {
        AMQPValue::Timestamp(seconds) => Timestamp::from_second(i64::try_from(*seconds).ok()?).ok(),
        _ => None,
    }
}

/// What the broker noted when it moved the message here itself, past the delivery limit.
fn last_death(message: &Incoming) -> Option<&FieldTable> {
    let AMQPValue::FieldArray(deaths) = message.header("x-death")? else { return None };
    let AMQPValue::FieldTable(death) = deaths.as_slice().first()? else { return None };
    Some(death)
}

/// All headers but those that a [`DeadLetter`] has a field for, and those that count how often it was looked at.
fn other_headers(headers: &FieldTable) -> Map<String, Value> {
    let told = [REASON, ATTEMPTS, QUEUE, ROUTING_KEY, FAILED_AT, "x-delivery-count", "x-acquired-count"];
    let others = headers.inner().iter().filter(|(name, _)| !told.contains(&name.as_str()));
    others.map(|(name, value)| (name.to_string(), json(value, DEPTH_MOST))).collect()
}

/// A header's value as JSON, as well as JSON can say it.
fn json(value: &AMQPValue, depth: usize) -> Value {
    if depth == 0 {
        return "…".into();
    }
    match value {
        AMQPValue::Boolean(value) => (*value).into(),
        AMQPValue::ShortShortInt(value) => (*value).into(),
        AMQPValue::ShortShortUInt(value) => (*value).into(),
        AMQPValue::ShortInt(value) => (*value).into(),
        AMQPValue::ShortUInt(value) => (*value).into(),
        AMQPValue::LongInt(value) => (*value).into(),
        AMQPValue::LongUInt(value) => (*value).into(),
        AMQPValue::LongLongInt(value) => (*value).into(),
        AMQPValue::Float(value) => (*value).into(),
        AMQPValue::Double(value) => (*value).into(),
        AMQPValue::DecimalValue(value) => format!("{}e-{}", value.value, value.scale).into(),
        AMQPValue::ShortString(text) => cut(text.as_str().as_bytes()).into(),
        AMQPValue::LongString(text) => cut(text.as_bytes()).into(),
        AMQPValue::ByteArray(bytes) => {
            let bytes = bytes.as_slice();
            STANDARD.encode(&bytes[..bytes.len().min(TEXT_MOST)]).into()
        }
        AMQPValue::Timestamp(seconds) => {
            let time = i64::try_from(*seconds).ok().and_then(|seconds| Timestamp::from_second(seconds).ok());
            time.map_or_else(|| (*seconds).into(), |time| time.to_string().into())
        }
        AMQPValue::FieldArray(values) => {
            values.as_slice().iter().map(|value| json(value, depth - 1)).collect()
        }
        AMQPValue::FieldTable(table) => {
            let fields = table.inner().iter();
            Value::Object(fields.map(|(name, value)| (name.to_string(), json(value, depth - 1))).collect())
        }
        AMQPValue::Void => Value::Null,
    }
}

/// Text of a bounded length; what is no UTF-8 in it is replaced.
fn cut(bytes: &[u8]) -> String {
    match bytes.len() {
        0..=TEXT_MOST => String::from_utf8_lossy(bytes).into_owned(),
        all => format!("{}… ({all} bytes in all)", String::from_utf8_lossy(&bytes[..TEXT_MOST])),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use lapin::BasicProperties;

    use super::*;
    use crate::broker::message::{Outgoing, text};

    fn message(id: Option<&str>, body: &'static [u8]) -> Incoming {
        let mut properties = BasicProperties::default();
        if let Some(id) = id {
            properties = properties.with_message_id(id.into());
        }
        Incoming {
            exchange: "events".to_owned(),
            routing_key: "order.created".to_owned(),
            redelivered: false,
            properties,
            body: Bytes::from_static(body),
        }
    }

    fn with_header(mut message: Incoming, name: &str, value: AMQPValue) -> Incoming {
        let mut headers = message.properties.headers().clone().unwrap_or_default();
        headers.insert(name.into(), value);
        message.properties = message.properties.with_headers(headers);
        message
    }

    fn died(message: Incoming, at: &str) -> Incoming {
        with_header(with_header(message, QUEUE, text("users.order-created")), FAILED_AT, text(at))
    }

    #[test]
    fn a_letter_keeps_its_key_however_often_it_is_looked_at() {
        let letter = died(message(None, b"nonsense"), "2026-11-03T10:11:12.5Z");
        let mut seen = with_header(letter.clone(), "x-delivery-count", AMQPValue::LongLongInt(7));
        seen.redelivered = true;

        assert_eq!(key_of(&letter).len(), 16);
        assert_eq!(key_of(&seen), key_of(&letter));
    }

    #[test]
    fn letters_that_differ_in_anything_that_counts_have_keys_of_their_own() {
        let at = "2026-11-03T10:11:12Z";
        let letters = [
            died(message(None, b"nonsense"), at),
            died(message(None, b"other nonsense"), at),
            died(message(Some("event-1"), b"nonsense"), at),
            died(message(Some("event-2"), b"nonsense"), at),
            // Replayed, and dead again.
            died(message(None, b"nonsense"), "2026-11-03T10:11:13Z"),
            with_header(died(message(None, b"nonsense"), at), QUEUE, text("users.order-cancelled")),
            with_header(died(message(None, b"nonsense"), at), ROUTING_KEY, text("order.cancelled")),
            message(None, b"nonsense"),
        ];

        let mut keys: Vec<_> = letters.iter().map(key_of).collect();
        keys.sort();
        keys.dedup();

        assert_eq!(keys.len(), letters.len());
    }

    #[test]
    fn a_letter_has_the_id_by_which_its_consumer_knows_it() {
        const ITS_QUEUE: &str = "users.order-created";
        let with_type = Incoming {
            properties: BasicProperties::default().with_type("odd".into()),
            ..message(None, b"x")
        };
        for first in [message(None, b"nonsense"), message(Some("event-1"), b"nonsense"), with_type] {
            let dead = first.for_the_dead(ITS_QUEUE, "not JSON", Timestamp::UNIX_EPOCH);
            // As it is there when it waited for another attempt before.
            let retried = first.for_retry(ITS_QUEUE, Duration::from_secs(1), "failed");
            let moved = Incoming { routing_key: ITS_QUEUE.to_owned(), ..arrived(retried) };

            assert_eq!(DeadLetter::read(&arrived(dead)).id, first.delivery(ITS_QUEUE).id);
            assert_eq!(DeadLetter::read(&moved).id, first.delivery(ITS_QUEUE).id);
        }
    }

    fn arrived(outgoing: Outgoing) -> Incoming {
        let Outgoing { exchange, routing_key, properties, body } = outgoing;
        Incoming { exchange, routing_key, redelivered: false, properties, body }
    }

    #[test]
    fn a_letter_that_the_broker_moved_says_so() {
        let mut death = FieldTable::default();
        death.insert("queue".into(), text("users.order-created"));
        death.insert("reason".into(), text("delivery_limit"));
        death.insert("time".into(), AMQPValue::Timestamp(1_793_700_672));
        let deaths = AMQPValue::FieldArray(vec![AMQPValue::FieldTable(death)].into());

        let letter = DeadLetter::read(&with_header(message(None, b"deadly"), "x-death", deaths));

        assert_eq!(letter.queue.as_deref(), Some("users.order-created"));
        assert_eq!(letter.reason.as_deref(), Some("moved by the broker: delivery_limit"));
        assert_eq!(letter.failed_at.map(|at| at.to_string()).as_deref(), Some("2026-11-03T10:11:12Z"));
        assert_eq!(letter.headers["x-death"][0]["reason"], "delivery_limit");
    }

    #[test]
    fn headers_are_shown_but_for_what_the_fields_tell_and_never_without_a_bound() {
        let mut deep = AMQPValue::Void;
        for _ in 0..50 {
            deep = AMQPValue::FieldArray(vec![deep].into());
        }
        let mut letter = died(message(None, b"nonsense"), "2026-11-03T10:11:12Z");
        for (name, value) in [
            ("x-tenant", text("t1")),
            ("number", AMQPValue::LongLongInt(i64::MIN)),
            ("nan", AMQPValue::Double(f64::NAN)),
            ("long", text(&"x".repeat(100_000))),
            ("deep", deep),
            ("x-delivery-count", AMQPValue::LongLongInt(3)),
        ] {
            letter = with_header(letter, name, value);
        }

        let headers = DeadLetter::read(&letter).headers;

        assert_eq!(headers.keys().collect::<Vec<_>>(), ["deep", "long", "nan", "number", "x-tenant"]);
        assert_eq!(headers["x-tenant"], "t1");
        assert_eq!((&headers["number"], &headers["nan"]), (&i64::MIN.into(), &Value::Null));
        assert!(headers["long"].as_str().is_some_and(|long| long.ends_with("… (100000 bytes in all)")));
        assert!(serde_json::to_string(&headers).expect("sound JSON").len() < 3000);
    }

    #[test]
    fn of_a_large_body_the_beginning_is_kept() {
        let letter = DeadLetter::read(&message(None, &[b'x'; BODY_MOST + 1]));

        assert_eq!((letter.body.len(), letter.body_bytes), (BODY_MOST, BODY_MOST + 1));
    }
}
