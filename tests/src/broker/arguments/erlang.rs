//! Values as RabbitMQ prints them.

use amq_protocol::types::{AMQPValue, FieldTable};

/// What RabbitMQ calls the type of a value.
pub fn type_of(value: &AMQPValue) -> &'static str {
    match value {
        AMQPValue::Boolean(_) => "bool",
        AMQPValue::ShortShortInt(_) => "byte",
        AMQPValue::ShortShortUInt(_) => "unsignedbyte",
        AMQPValue::ShortInt(_) => "short",
        AMQPValue::ShortUInt(_) => "unsignedshort",
        AMQPValue::LongInt(_) => "signedint",
        AMQPValue::LongUInt(_) => "unsignedint",
        AMQPValue::LongLongInt(_) => "long",
        AMQPValue::Float(_) => "float",
        AMQPValue::Double(_) => "double",
        AMQPValue::DecimalValue(_) => "decimal",
        AMQPValue::ShortString(_) | AMQPValue::LongString(_) => "longstr",
        AMQPValue::FieldArray(_) => "array",
        AMQPValue::Timestamp(_) => "timestamp",
        AMQPValue::FieldTable(_) => "table",
        AMQPValue::ByteArray(_) => "binary",
        AMQPValue::Void => "void",
    }
}

/// A whole number of any size.
pub fn integer(value: &AMQPValue) -> Option<i64> {
    match *value {
        AMQPValue::ShortShortInt(number) => Some(number.into()),
        AMQPValue::ShortShortUInt(number) => Some(number.into()),
        AMQPValue::ShortInt(number) => Some(number.into()),
        AMQPValue::ShortUInt(number) => Some(number.into()),
        AMQPValue::LongInt(number) => Some(number.into()),
        AMQPValue::LongUInt(number) => Some(number.into()),
        AMQPValue::LongLongInt(number) => Some(number),
        _ => None,
    }
}

/// A text. What is no UTF-8 is replaced.
pub fn text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// A value by itself: a text without quotes, all else as a term.
pub fn plain(value: &AMQPValue) -> String {
    text(value).unwrap_or_else(|| term(value))
}

/// A value as a term. Two values are equal to RabbitMQ where their terms are, whatever types they came in.
pub fn term(value: &AMQPValue) -> String {
    match value {
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::Float(number) => format!("{:?}", f64::from(*number)),
        AMQPValue::Double(number) => format!("{number:?}"),
        AMQPValue::DecimalValue(decimal) => format!("{{{},{}}}", decimal.scale, decimal.value),
        AMQPValue::Timestamp(seconds) => seconds.to_string(),
        AMQPValue::ShortString(text) => binary(text.as_str().as_bytes()),
        AMQPValue::LongString(text) => binary(text.as_bytes()),
        AMQPValue::ByteArray(bytes) => binary(bytes.as_slice()),
        AMQPValue::FieldArray(values) => {
            let typed = |value| format!("{{{},{}}}", type_of(value), term(value));
            list(values.as_slice().iter().map(typed))
        }
        AMQPValue::FieldTable(table) => list(rows(table)),
        AMQPValue::Void => "undefined".to_owned(),
        number => integer(number).unwrap_or_default().to_string(),
    }
}

fn rows(table: &FieldTable) -> impl Iterator<Item = String> {
    table.into_iter().map(|(key, value)| {
        format!("{{{},{},{}}}", binary(key.as_str().as_bytes()), type_of(value), term(value))
    })
}

fn list(terms: impl Iterator<Item = String>) -> String {
    format!("[{}]", terms.collect::<Vec<_>>().join(","))
}

fn binary(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) => format!("<<{text:?}>>"),
        _ => format!("<<{}>>", bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(",")),
    }
}
