//! The header `x-death`, read.

use amq_protocol::types::{AMQPValue, FieldTable};

use super::Delivery;

/// One entry of `x-death`: a queue that the message left, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Death {
    pub queue: String,
    pub reason: String,
    pub count: i64,
    pub exchange: String,
    pub routing_keys: Vec<String>,
    pub original_expiration: Option<String>,
}

/// The entries of a message's `x-death`, the latest first. None where it never died.
///
/// # Panics
///
/// When an entry lacks a field that RabbitMQ always gives, or has it in another type.
pub fn deaths(delivery: &Delivery) -> Vec<Death> {
    match delivery.header("x-death") {
        None => Vec::new(),
        Some(AMQPValue::FieldArray(deaths)) => deaths
            .as_slice()
            .iter()
            .map(|death| match death {
                AMQPValue::FieldTable(table) => read(table),
                other => panic!("an x-death entry is no table: {other:?}"),
            })
            .collect(),
        Some(other) => panic!("x-death is no array: {other:?}"),
    }
}

fn read(table: &FieldTable) -> Death {
    let field = |name: &str| table.inner().get(name);
    let has = |name: &str| field(name).unwrap_or_else(|| panic!("an x-death entry has no {name}: {table:?}"));
    assert!(matches!(has("time"), AMQPValue::Timestamp(seconds) if *seconds > 1_600_000_000), "{table:?}");
    Death {
        queue: string(has("queue")),
        reason: string(has("reason")),
        count: number(has("count")),
        exchange: string(has("exchange")),
        routing_keys: match has("routing-keys") {
            AMQPValue::FieldArray(keys) => keys.as_slice().iter().map(string).collect(),
            other => panic!("routing-keys is no array: {other:?}"),
        },
        original_expiration: field("original-expiration").map(string),
    }
}

fn string(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        other => panic!("no long string: {other:?}"),
    }
}

/// A number of whatever size.
pub(super) fn number(value: &AMQPValue) -> i64 {
    match *value {
        AMQPValue::ShortShortInt(number) => number.into(),
        AMQPValue::ShortInt(number) => number.into(),
        AMQPValue::LongInt(number) => number.into(),
        AMQPValue::LongLongInt(number) => number,
        ref other => panic!("no number: {other:?}"),
    }
}
