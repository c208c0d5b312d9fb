//! A message that dies in one queue and goes to another.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{SystemTime, UNIX_EPOCH};

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldArray, ShortString};

use super::Message;
use super::arguments::{DeadLetter, integer};
use super::message::{decode, encode};

type Headers = BTreeMap<ShortString, AMQPValue>;

/// One entry of the history.
type Death = Headers;

/// The header with the whole history.
const DEATHS: &str = "x-death";

/// Why a message leaves a queue without having been settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A consumer does not want it.
    Rejected,
    /// It waited too long.
    Expired,
    /// The queue is too long.
    MaxLen,
    /// It came back too often.
    DeliveryLimit,
}

impl Reason {
    /// As RabbitMQ calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Rejected => "rejected",
            Self::Expired => "expired",
            Self::MaxLen => "maxlen",
            Self::DeliveryLimit => "delivery_limit",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The message as it goes to the dead-letter exchange of a queue that it died in.
pub fn dead_letter(
    message: &Message,
    queue: &str,
    reason: Reason,
    to: &DeadLetter,
    now: SystemTime,
) -> Message {
    let properties = message.decode_properties();
    let mut headers = properties.headers().as_ref().map_or_else(Headers::new, |table| table.inner().clone());
    let deaths = match headers.get(DEATHS) {
        Some(AMQPValue::FieldArray(deaths)) => {
            add_death(grouped(deaths), first_death(message, &properties, queue, reason, now))
        }
        earlier => {
            // A history that a client made unreadable begins anew, but it is not the message's first death.
            if earlier.is_none() {
                headers.insert("x-first-death-reason".into(), text(reason.as_str()));
                headers.insert("x-first-death-queue".into(), text(queue));
                headers.insert("x-first-death-exchange".into(), text(message.exchange()));
            }
            vec![first_death(message, &properties, queue, reason, now)]
        }
    };
    let deaths: Vec<AMQPValue> =
        deaths.into_iter().map(|death| AMQPValue::FieldTable(death.into())).collect();
    headers.insert(DEATHS.into(), AMQPValue::FieldArray(deaths.into()));

    let properties = without_expiration(&properties).with_headers(headers.into());
    let routing_key = to.routing_key.as_deref().unwrap_or(message.routing_key());
    Message::with(&to.exchange, routing_key, &properties, message.body())
        .expect("its parts made a message before, and a queue's arguments have names that fit")
}

/// Whether a dead message, with its history up to this death, is not to enter this queue: it was there before, and since
/// then no consumer rejected it. It would go round for ever.
pub fn is_cycle(message: &Message, queue: &str, reason: Reason) -> bool {
    if reason == Reason::Rejected {
        return false;
    }
    let properties = message.decode_properties();
    let deaths = properties.headers().as_ref().and_then(|headers| headers.inner().get(DEATHS)?.as_array());
    let Some(deaths) = deaths.map(FieldArray::as_slice) else { return false };

    let is = |death: &AMQPValue, key: &str, value: &str| {
        let death = death.as_field_table().and_then(|death| death.inner().get(key)?.as_long_string());
        death.is_some_and(|text| text.as_bytes() == value.as_bytes())
    };
    let Some(last) = deaths.iter().position(|death| is(death, "queue", queue)) else { return false };
    let mut since = deaths[..=last].iter();
    since.all(|death| death.as_field_table().is_some() && !is(death, "reason", "rejected"))
}

/// Properties with the header in which a quorum queue says how often a message came back. RabbitMQ sends it with every
/// redelivery, and in answer to `basic.get` with the first delivery, too.
pub fn with_delivery_count(properties: &[u8], count: u32) -> Vec<u8> {
    let Ok(decoded) = decode(properties) else { return properties.to_vec() };
    let mut headers = decoded.headers().clone().unwrap_or_default();
    headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(count.into()));
    encode(&decoded.with_headers(headers)).unwrap_or_else(|_| properties.to_vec())
}

fn first_death(
    message: &Message,
    properties: &BasicProperties,
    queue: &str,
    reason: Reason,
    now: SystemTime,
) -> Death {
    let seconds = now.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut death = Death::from([
        ("count".into(), AMQPValue::LongLongInt(1)),
        ("reason".into(), text(reason.as_str())),
        ("queue".into(), text(queue)),
        ("time".into(), AMQPValue::Timestamp(seconds)),
        ("exchange".into(), text(message.exchange())),
        ("routing-keys".into(), AMQPValue::FieldArray(vec![text(message.routing_key())].into())),
    ]);
    if let Some(expiration) = properties.expiration() {
        death.insert("original-expiration".into(), text(expiration.as_str()));
    }
    death
}

/// Puts a death in front. One in the same queue for the same reason is counted there instead, and keeps its first time.
fn add_death(mut deaths: Vec<Death>, death: Death) -> Vec<Death> {
    let newest = match deaths.iter().position(|earlier| is_same(earlier, &death)) {
        Some(at) => {
            let mut earlier = deaths.remove(at);
            let count = count(&earlier).unwrap_or(0).saturating_add(1);
            earlier.insert("count".into(), AMQPValue::LongLongInt(count));
            earlier
        }
        None => death,
    };
    deaths.insert(0, newest);
    deaths
}

/// The history with each queue and reason once. RabbitMQ 3.10 turns it round whenever it is longer than one, and leaves a
/// single one without a count as it is; who reads the order should read the same here. What is no table is left out.
fn grouped(deaths: &FieldArray) -> Vec<Death> {
    let tables = deaths.as_slice().iter().filter_map(|death| death.as_field_table());
    let tables: Vec<Death> = tables.map(|table| table.inner().clone()).collect();
    if tables.len() < 2 {
        return tables;
    }
    let mut grouped = Vec::<Death>::new();
    for death in &tables {
        if grouped.iter().any(|earlier| is_same(earlier, death)) {
            continue;
        }
        let same = tables.iter().filter(|other| is_same(other, death)).count();
        let mut death = death.clone();
        death.entry("count".into()).or_insert(AMQPValue::LongLongInt(same as i64));
        grouped.push(death);
    }
    grouped.reverse();
    grouped
}

fn is_same(one: &Death, other: &Death) -> bool {
    ["queue", "reason"].into_iter().all(|key| one.get(key) == other.get(key))
}

/// Clients that publish a message again may have changed the type.
fn count(death: &Death) -> Option<i64> {
    integer(death.get("count")?)
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

/// All but the headers, which are set anew, and the expiration: a message does not die of it twice.
fn without_expiration(properties: &BasicProperties) -> BasicProperties {
    let mut kept = BasicProperties::default();
    macro_rules! keep {
        ($($property:ident as $with:ident),+ $(,)?) => {
            $(if let Some(value) = properties.$property().clone() {
                kept = kept.$with(value);
            })+
        };
    }
    keep!(
        content_type as with_content_type,
        content_encoding as with_content_encoding,
        delivery_mode as with_delivery_mode,
        priority as with_priority,
        correlation_id as with_correlation_id,
        reply_to as with_reply_to,
        message_id as with_message_id,
        timestamp as with_timestamp,
        kind as with_type,
        user_id as with_user_id,
        app_id as with_app_id,
        cluster_id as with_cluster_id,
    );
    kept
}

#[cfg(test)]
mod tests;
