//! Messages as they are sent and as they arrive.

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};
use amq_protocol::types::{AMQPValue, FieldTable, LongString};

use super::Event;

/// What a story publishes.
#[derive(Clone, Debug, Default)]
pub struct Message {
    pub properties: BasicProperties,
    pub body: Vec<u8>,
}

impl Message {
    pub fn new(body: impl Into<Vec<u8>>) -> Self {
        Self { properties: BasicProperties::default(), body: body.into() }
    }

    pub fn with(properties: BasicProperties, body: &str) -> Self {
        Self { properties, body: body.into() }
    }

    pub fn persistent(self) -> Self {
        Self { properties: self.properties.with_delivery_mode(2), ..self }
    }

    /// In milliseconds.
    pub fn expires_after(self, expiration: &str) -> Self {
        Self { properties: self.properties.with_expiration(expiration.into()), ..self }
    }
}

impl From<&str> for Message {
    fn from(body: &str) -> Self {
        Self::new(body)
    }
}

/// What a consumer or a Basic.Get gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Delivery {
    /// Empty for Basic.Get.
    pub consumer: String,
    pub tag: u64,
    pub redelivered: bool,
    pub exchange: String,
    pub routing_key: String,
    /// How many are left in the queue, as Basic.Get-Ok says.
    pub left: Option<u32>,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
    /// In how many frames the body came.
    pub frames: usize,
}

impl Delivery {
    /// Its body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// One of its headers.
    pub fn header(&self, name: &str) -> Option<AMQPValue> {
        self.properties.headers().as_ref()?.inner().get(name).cloned()
    }

    /// A header that is a number, of whatever size.
    pub fn number(&self, name: &str) -> Option<i64> {
        self.header(name).map(|value| super::deaths::number(&value))
    }

    pub(super) fn of(event: Event) -> Self {
        let Event { method, properties, body, frames } = event;
        match method {
            AMQPClass::Basic(basic::AMQPMethod::Deliver(deliver)) => Self {
                consumer: deliver.consumer_tag.to_string(),
                tag: deliver.delivery_tag,
                redelivered: deliver.redelivered,
                exchange: deliver.exchange.to_string(),
                routing_key: deliver.routing_key.to_string(),
                left: None,
                properties,
                body,
                frames,
            },
            AMQPClass::Basic(basic::AMQPMethod::GetOk(got)) => Self {
                consumer: String::new(),
                tag: got.delivery_tag,
                redelivered: got.redelivered,
                exchange: got.exchange.to_string(),
                routing_key: got.routing_key.to_string(),
                left: Some(got.message_count),
                properties,
                body,
                frames,
            },
            other => panic!("{other:?} brings no message"),
        }
    }
}

/// A long string, as clients send text in tables.
pub fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(value))
}

/// A table of these fields.
pub fn table(fields: impl IntoIterator<Item = (&'static str, AMQPValue)>) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in fields {
        table.insert(name.into(), value);
    }
    table
}
