use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use super::Event;
use crate::telemetry::trace::Origin;

/// Identifies an event everywhere and for ever; consumers deduplicate by it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EventId(String);

impl EventId {
    /// Longest id that is accepted from elsewhere, in bytes: AMQP's limit for a short string.
    pub const MAX_LEN: usize = 255;

    /// Makes a new id, ordered by time.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// Takes the publisher's id.
    pub fn given(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// Derives the id of a message that carries none: the same type and body always give the same id, so that
    /// a redelivery is recognised (UUID version 5, RFC 9562 section 5.5).
    pub fn derived(event_type: &str, body: &[u8]) -> Self {
        let mut name = Vec::with_capacity(event_type.len() + 1 + body.len());
        name.extend_from_slice(event_type.as_bytes());
        name.push(0);
        name.extend_from_slice(body);
        Self(Uuid::new_v5(&Uuid::NAMESPACE_OID, &name).to_string())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for EventId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// An event on its way: what an outbox row holds and what an AMQP message is made of.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Envelope {
    /// Identifies the event; the AMQP `message_id`.
    pub id: EventId,
    /// The type and routing key; the AMQP `type`.
    pub event_type: String,
    /// The resource that it happened to; orders the events of one resource.
    pub aggregate: String,
    /// All resources that it is about. For the ledger; it does not travel.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// The service that published it; the AMQP `app_id`.
    pub source: String,
    /// When it was committed; the AMQP `timestamp` (whole seconds there) and the header `x-time`.
    pub time: Timestamp,
    /// The request that caused it.
    pub origin: Origin,
    /// The resource's plain JSON; the AMQP body.
    pub body: Box<RawValue>,
}

impl Envelope {
    /// Version of the bodies' schema; the header `x-schema-version`.
    pub const SCHEMA_VERSION: u32 = 1;

    /// Wraps `event`, caused by `origin`, at `time`.
    ///
    /// # Errors
    /// When the event cannot be written as JSON.
    pub fn wrap<E: Event>(
        event: &E,
        source: &str,
        time: Timestamp,
        origin: Origin,
    ) -> Result<Self, serde_json::Error> {
        Ok(Self {
            id: EventId::fresh(),
            event_type: E::TYPE.to_owned(),
            aggregate: event.aggregate().to_owned(),
            about: event.about().into_iter().map(str::to_owned).collect(),
            source: source.to_owned(),
            time,
            origin,
            body: serde_json::value::to_raw_value(event)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_without_an_id_is_recognised_when_it_comes_again() {
        let first = EventId::derived("order.created", br#"{"id":"o1"}"#);

        assert_eq!(first, EventId::derived("order.created", br#"{"id":"o1"}"#));
        assert_ne!(first, EventId::derived("order.created", br#"{"id":"o2"}"#));
        assert_ne!(first, EventId::derived("order.cancelled", br#"{"id":"o1"}"#));
    }
}
