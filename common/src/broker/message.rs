//! What a message looks like on the wire: the body is the event's plain JSON, all else travels beside it.

use bytes::Bytes;
use jiff::Timestamp;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::{Delivery, topology::EVENTS};
use crate::{
    event::{Envelope, EventId},
    telemetry::trace::{Origin, REQUEST_ID, RequestId, TRACEPARENT, TraceContext},
};

const TIME: &str = "x-time";
const SCHEMA_VERSION: &str = "x-schema-version";
const AGGREGATE: &str = "x-aggregate";

/// The next attempt at a message that waits in a retry queue.
pub(super) const ATTEMPT: &str = "x-attempt";
/// Why a message waits in a retry queue, or lies among the dead letters.
pub(super) const REASON: &str = "x-reason";
/// The routing key that a message was published with, kept where it travels with another.
pub(super) const ROUTING_KEY: &str = "x-routing-key";

/// The longest that AMQP lets a short string be, in bytes; routing keys and the names of queues are such.
pub(super) const SHORT_MOST: usize = 255;

/// Delivery mode 2: kept on disk.
const PERSISTENT: u8 = 2;

/// Something to be published.
#[derive(Clone, Debug)]
pub(super) struct Outgoing {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

impl Outgoing {
    /// Writes an event.
    pub(super) fn event(envelope: Envelope) -> Self {
        let Envelope { id, event_type, aggregate, source, time, origin, body, .. } = envelope;
        let mut headers = FieldTable::default();
        headers
            .insert(TRACEPARENT.into(), text(&origin.traceparent.to_string()))
            .insert(REQUEST_ID.into(), text(origin.request_id.as_str()))
            .insert(TIME.into(), text(&time.to_string()))
            .insert(SCHEMA_VERSION.into(), AMQPValue::LongInt(Envelope::SCHEMA_VERSION.cast_signed()))
            .insert(AGGREGATE.into(), text(&aggregate));
        let properties = BasicProperties::default()
            .with_message_id(short(id.as_str()))
            .with_type(short(&event_type))
            .with_app_id(short(&source))
            .with_timestamp(u64::try_from(time.as_second()).unwrap_or(0))
            .with_content_type("application/json".into())
            .with_delivery_mode(PERSISTENT)
            .with_correlation_id(short(origin.request_id.as_str()))
            .with_headers(headers);
        Self {
            exchange: EVENTS.to_owned(),
            routing_key: short(&event_type).into(),
            properties,
            body: Bytes::from(Box::<str>::from(body).into_boxed_bytes()),
        }
    }
}

/// A message as it came from a queue.
#[derive(Clone, Debug)]
pub(super) struct Incoming {
    pub(super) exchange: String,
    pub(super) routing_key: String,
    pub(super) redelivered: bool,
    pub(super) properties: BasicProperties,
    pub(super) body: Bytes,
}

impl Incoming {
    /// Takes a message from lapin.
    pub(super) fn take(delivery: &mut lapin::message::Delivery) -> Self {
        Self {
            exchange: delivery.exchange.to_string(),
            routing_key: delivery.routing_key.to_string(),
            redelivered: delivery.redelivered,
            properties: std::mem::take(&mut delivery.properties),
            body: Bytes::from(std::mem::take(&mut delivery.data)),
        }
    }

    /// Reads what the consumer of `queue` wants to know. Whatever the publisher left out, or wrote in a way
    /// that cannot be right, is made up for.
    pub(super) fn delivery(&self, queue: &'static str) -> Delivery {
        let properties = &self.properties;
        let event_type = self.event_type(self.original_routing_key());
        let id = self.id(&event_type);
        let fresh = Origin::fresh();
        let request_id = self
            .text(REQUEST_ID)
            .or_else(|| given(properties.correlation_id()))
            .and_then(|raw| RequestId::accept(&raw))
            .unwrap_or(fresh.request_id);
        let traceparent = self.trace().unwrap_or(fresh.traceparent);
        let seconds = || properties.timestamp().and_then(|seconds| i64::try_from(seconds).ok());
        let time = self
            .text(TIME)
            .and_then(|raw| raw.parse().ok())
            .or_else(|| seconds().and_then(|seconds| Timestamp::from_second(seconds).ok()));
        Delivery {
            id,
            event_type,
            source: given(properties.app_id()),
            origin: Origin { request_id, traceparent, accepted_at: None },
            time,
            body: self.body.clone(),
            attempt: self.attempt(),
            redelivered: self.redelivered,
            queue,
        }
    }

    /// The publisher's id, or the one that is derived where it gave none.
    pub(super) fn id(&self, event_type: &str) -> EventId {
        match given(self.properties.message_id()) {
            Some(id) if id.len() <= EventId::MAX_LEN => EventId::given(id),
            _ => EventId::derived(event_type, &self.body),
        }
    }

    /// What the publisher says it is, or else the routing key that it was published with.
    pub(super) fn event_type(&self, routing_key: &str) -> String {
        given(self.properties.kind()).unwrap_or_else(|| routing_key.to_owned())
    }

    /// Where in which trace it was sent, where its publisher says so.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        self.text(TRACEPARENT)?.parse().ok()
    }

    /// The routing key that it was published with.
    pub(super) fn original_routing_key(&self) -> &str {
        let kept = if self.came_back() { self.kept_routing_key() } else { None };
        kept.unwrap_or(&self.routing_key)
    }

    /// The routing key that a header of it names. Anybody may write that header, and it travels on beside all that fits
    /// into a frame, so it is none where no routing key could be as long.
    pub(super) fn kept_routing_key(&self) -> Option<&str> {
        let kept = match self.header(ROUTING_KEY)? {
            AMQPValue::LongString(text) => std::str::from_utf8(text.as_bytes()).ok()?,
            AMQPValue::ShortString(text) => text.as_str(),
            _ => return None,
        };
        (kept.len() <= SHORT_MOST).then_some(kept)
    }

    /// Counts the attempts at it, from 1.
    pub(super) fn attempt(&self) -> u32 {
        let kept = match (self.came_back(), self.header(ATTEMPT)) {
            (true, Some(AMQPValue::LongLongInt(attempt))) => u32::try_from(*attempt).ok(),
            _ => None,
        };
        kept.unwrap_or(1).max(1)
    }

    /// A header's text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        match self.header(name)? {
            AMQPValue::LongString(text) => Some(text.to_string()),
            AMQPValue::ShortString(text) => Some(text.to_string()),
            _ => None,
        }
    }

    /// A header.
    pub(super) fn header(&self, name: &str) -> Option<&AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name)
    }

    /// Whether it came from a retry queue or from the dead letters, and not from its publisher: by way of the
    /// default exchange, to which a queue's name is the routing key.
    fn came_back(&self) -> bool {
        self.exchange.is_empty()
    }
}

/// A property's text, where there is some.
fn given(text: &Option<ShortString>) -> Option<String> {
    text.as_ref().map(ShortString::as_str).filter(|text| !text.is_empty()).map(str::to_owned)
}

/// A header's text.
pub(super) fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// An AMQP short string; what is longer is cut off.
pub(super) fn short(text: &str) -> ShortString {
    let end = text.floor_char_boundary(SHORT_MOST);
    text[..end].into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: &str = "users.order-created";

    fn envelope() -> Envelope {
        Envelope {
            id: EventId::fresh(),
            event_type: "order.created".to_owned(),
            aggregate: "o1".to_owned(),
            about: Vec::new(),
            source: "orders".to_owned(),
            time: "2026-11-03T10:11:12.345Z".parse().expect("a sound time"),
            origin: Origin::fresh(),
            body: serde_json::value::to_raw_value(&serde_json::json!({"id": "o1"})).expect("sound JSON"),
        }
    }

    fn incoming(outgoing: Outgoing) -> Incoming {
        let Outgoing { exchange, routing_key, properties, body } = outgoing;
        Incoming { exchange, routing_key, redelivered: false, properties, body }
    }

    fn bare(exchange: &str, routing_key: &str, properties: BasicProperties) -> Incoming {
        Incoming {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            redelivered: false,
            properties,
            body: Bytes::from_static(b"{}"),
        }
    }

    #[test]
    fn what_is_published_arrives_unchanged() {
        let sent = envelope();

        let arrived = incoming(Outgoing::event(sent.clone())).delivery(QUEUE);

        assert_eq!(arrived.id, sent.id);
        assert_eq!(arrived.event_type, sent.event_type);
        assert_eq!(arrived.source.as_deref(), Some("orders"));
        assert_eq!(arrived.origin, sent.origin);
        assert_eq!(arrived.time, Some(sent.time));
        assert_eq!(arrived.body, sent.body.get());
        assert_eq!(arrived.attempt, 1);
    }

    #[test]
    fn the_wire_carries_plain_json_and_standard_properties() {
        let sent = envelope();
        let Outgoing { exchange, routing_key, properties, body } = Outgoing::event(sent.clone());

        assert_eq!((exchange.as_str(), routing_key.as_str()), ("events", "order.created"));
        assert_eq!(body, r#"{"id":"o1"}"#);
        assert_eq!(properties.message_id().as_ref().map(ShortString::as_str), Some(sent.id.as_str()));
        assert_eq!(*properties.timestamp(), Some(1_793_700_672));
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(properties.content_type().as_ref().map(ShortString::as_str), Some("application/json"));
    }

    #[test]
    fn a_message_that_is_only_a_body_is_taken() {
        let message = bare("events", "order.created", BasicProperties::default());

        let delivery = message.delivery(QUEUE);

        assert_eq!(delivery.event_type, "order.created");
        assert_eq!(delivery.id, EventId::derived("order.created", b"{}"));
        assert_eq!(delivery.id, message.delivery(QUEUE).id);
        assert_eq!((delivery.source, delivery.time), (None, None));
    }

    #[test]
    fn senseless_properties_are_made_up_for() {
        let mut headers = FieldTable::default();
        headers.insert(TRACEPARENT.into(), text("nonsense"));
        headers.insert(REQUEST_ID.into(), text("two words"));
        headers.insert(TIME.into(), text("yesterday"));
        headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(3));
        let properties = BasicProperties::default()
            .with_message_id("".into())
            .with_type("".into())
            .with_timestamp(u64::MAX)
            .with_headers(headers);

        let delivery = bare("events", "order.created", properties).delivery(QUEUE);

        assert_eq!(delivery.event_type, "order.created");
        assert_eq!(delivery.id, EventId::derived("order.created", b"{}"));
        assert_eq!(delivery.time, None);
        assert_eq!(delivery.attempt, 1, "a publisher does not count our attempts");
    }

    #[test]
    fn a_message_that_came_back_knows_its_type_and_its_attempts() {
        let mut headers = FieldTable::default();
        headers.insert(ROUTING_KEY.into(), text("order.created"));
        headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(3));

        let delivery = bare("", QUEUE, BasicProperties::default().with_headers(headers)).delivery(QUEUE);

        assert_eq!(delivery.event_type, "order.created");
        assert_eq!(delivery.id, EventId::derived("order.created", b"{}"));
        assert_eq!(delivery.attempt, 3);
    }

    #[test]
    fn a_routing_key_that_is_longer_than_any_is_not_taken_over() {
        let key_of = |kept: &str| {
            let mut headers = FieldTable::default();
            headers.insert(ROUTING_KEY.into(), text(kept));
            bare("", QUEUE, BasicProperties::default().with_headers(headers))
                .original_routing_key()
                .to_owned()
        };

        let longest = "k".repeat(255);
        assert_eq!(key_of(&longest), longest);
        assert_eq!(key_of(&"k".repeat(256)), QUEUE);
    }

    #[test]
    fn short_strings_are_cut_between_characters() {
        assert_eq!(short(&"ü".repeat(200)).as_str().len(), 254);
    }
}
