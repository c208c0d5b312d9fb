//! A message as the broker keeps it: the publisher's bytes, unread but for what the broker must know.

use std::fmt;
use std::time::Duration;

use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::BasicProperties;
use amq_protocol::protocol::basic::{gen_properties, parse_properties};

/// Ten years, RabbitMQ's bound.
const LONGEST_WAIT_MS: u64 = 315_360_000_000;

/// What a publisher sent, shared by all queues that it was routed to.
///
/// It is one allocation, the record, which is also what the store keeps: the exchange and the routing key, each behind one
/// byte of length, the properties behind four, and the body.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    record: Box<[u8]>,
    routing_key_at: u16,
    properties_at: u16,
    body_at: u32,
    delivery_mode: Option<u8>,
    has_other_recipients: bool,
    /// In milliseconds.
    expiration: Option<u64>,
}

/// Why bytes are no message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadMessage {
    /// The properties cannot be read, or end in something else.
    Properties,
    /// The `expiration` is no number of milliseconds, or more than ten years.
    Expiration(String),
    /// An exchange or routing key of more than 255 bytes, or more than 4 GiB in all.
    TooLong,
    /// A record that is shorter than it says.
    Record,
}

impl fmt::Display for BadMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Properties => f.write_str("its properties cannot be read"),
            Self::Expiration(text) => write!(f, "its expiration {text:?} is no number of milliseconds"),
            Self::TooLong => f.write_str("it is too long"),
            Self::Record => f.write_str("its record is cut short"),
        }
    }
}

impl std::error::Error for BadMessage {}

impl Message {
    /// Takes a message as it came. `properties` are their flags and values, as on the wire.
    ///
    /// # Errors
    ///
    /// The properties are broken, or a name is too long for AMQP.
    pub fn new(
        exchange: &str,
        routing_key: &str,
        properties: &[u8],
        body: &[u8],
    ) -> Result<Self, BadMessage> {
        let length = |part: &str| u8::try_from(part.len()).map_err(|_| BadMessage::TooLong);
        let (exchange_length, key_length) = (length(exchange)?, length(routing_key)?);
        let properties_length = u32::try_from(properties.len()).map_err(|_| BadMessage::TooLong)?;

        let mut record =
            Vec::with_capacity(6 + exchange.len() + routing_key.len() + properties.len() + body.len());
        record.push(exchange_length);
        record.extend_from_slice(exchange.as_bytes());
        record.push(key_length);
        record.extend_from_slice(routing_key.as_bytes());
        record.extend_from_slice(&properties_length.to_be_bytes());
        record.extend_from_slice(properties);
        record.extend_from_slice(body);
        Self::of(record.into_boxed_slice())
    }

    /// Makes a message of properties that were changed.
    ///
    /// # Errors
    ///
    /// Those of [`Message::new`].
    pub fn with(
        exchange: &str,
        routing_key: &str,
        properties: &BasicProperties,
        body: &[u8],
    ) -> Result<Self, BadMessage> {
        Self::new(exchange, routing_key, &encode(properties)?, body)
    }

    /// Reads what [`Message::record`] gave.
    ///
    /// # Errors
    ///
    /// It is no record.
    pub fn from_record(record: &[u8]) -> Result<Self, BadMessage> {
        Self::of(record.into())
    }

    fn of(record: Box<[u8]>) -> Result<Self, BadMessage> {
        let byte = |at: usize| record.get(at).copied().map(usize::from).ok_or(BadMessage::Record);
        let exchange_ends = 1 + byte(0)?;
        let key_ends = exchange_ends + 1 + byte(exchange_ends)?;
        let properties_at = key_ends + 4;
        let length = record.get(key_ends..properties_at).ok_or(BadMessage::Record)?;
        let length = u32::from_be_bytes(length.try_into().map_err(|_| BadMessage::Record)?);
        let body_at = properties_at.checked_add(length as usize).ok_or(BadMessage::Record)?;
        let names = [1..exchange_ends, exchange_ends + 1..key_ends];
        if names.into_iter().any(|name| std::str::from_utf8(&record[name]).is_err()) {
            return Err(BadMessage::Record);
        }

        let properties = record.get(properties_at..body_at).ok_or(BadMessage::Record)?;
        let properties = decode(properties)?;
        let expiration = properties.expiration().as_ref().map(|text| {
            let parsed = text.as_str().parse().ok().filter(|ms| *ms <= LONGEST_WAIT_MS);
            parsed.ok_or_else(|| BadMessage::Expiration(text.to_string()))
        });
        Ok(Self {
            delivery_mode: *properties.delivery_mode(),
            has_other_recipients: properties
                .headers()
                .as_ref()
                .is_some_and(|headers| headers.contains_key("CC") || headers.contains_key("BCC")),
            expiration: expiration.transpose()?,
            routing_key_at: (exchange_ends + 1) as u16,
            properties_at: properties_at as u16,
            body_at: u32::try_from(body_at).map_err(|_| BadMessage::TooLong)?,
            record,
        })
    }

    /// How long the body in a record is, without a look at the rest of it. Zero where it is none.
    pub fn body_size_of(record: &[u8]) -> u32 {
        let after_names = record.first().map(|length| 1 + usize::from(*length));
        let after_names = after_names.and_then(|at| Some(at + 1 + usize::from(*record.get(at)?)));
        let length = after_names.and_then(|at| record.get(at..)?.first_chunk::<4>());
        let rest = after_names.zip(length).map(|(at, length)| at + 4 + u32::from_be_bytes(*length) as usize);
        rest.map_or(0, |at| u32::try_from(record.len().saturating_sub(at)).unwrap_or(u32::MAX))
    }

    /// The bytes that [`Message::from_record`] reads.
    pub fn record(&self) -> &[u8] {
        &self.record
    }

    /// Where it was published to.
    pub fn exchange(&self) -> &str {
        self.text(1, self.routing_key_at as usize - 1)
    }

    /// By which key.
    pub fn routing_key(&self) -> &str {
        self.text(self.routing_key_at as usize, self.properties_at as usize - 4)
    }

    /// The flags and values of its properties, as on the wire.
    pub fn properties(&self) -> &[u8] {
        &self.record[self.properties_at as usize..self.body_at as usize]
    }

    /// Its properties, read.
    pub fn decode_properties(&self) -> BasicProperties {
        // They were read before, when it was made.
        decode(self.properties()).unwrap_or_default()
    }

    /// Its body.
    pub fn body(&self) -> &[u8] {
        &self.record[self.body_at as usize..]
    }

    /// How many bytes it takes, names and properties included.
    pub fn size(&self) -> usize {
        self.record.len()
    }

    /// Who published it, by its publisher's word.
    pub fn user_id(&self) -> Option<String> {
        // Its flag, so that nothing is read where it is not set.
        let has_user_id = self.properties().get(1).is_some_and(|flags| flags & 1 << 4 != 0);
        has_user_id.then(|| self.decode_properties().user_id().as_ref().map(ToString::to_string)).flatten()
    }

    /// Where its publisher waits for an answer.
    pub fn reply_to(&self) -> Option<String> {
        let has_reply_to = self.properties().first().is_some_and(|flags| flags & 1 << 1 != 0);
        has_reply_to.then(|| self.decode_properties().reply_to().as_ref().map(ToString::to_string)).flatten()
    }

    /// Whether its publisher wants it to outlive the broker.
    pub fn is_persistent(&self) -> bool {
        self.delivery_mode == Some(2)
    }

    /// A delivery mode that is neither transient nor persistent.
    pub fn unknown_delivery_mode(&self) -> Option<u8> {
        self.delivery_mode.filter(|mode| !matches!(mode, 1 | 2))
    }

    /// Whether its headers name routing keys beside its own, as RabbitMQ's `CC` and `BCC` do.
    pub fn has_other_recipients(&self) -> bool {
        self.has_other_recipients
    }

    /// How long it may wait in a queue, by its publisher's word.
    pub fn expiration(&self) -> Option<Duration> {
        self.expiration.map(Duration::from_millis)
    }

    fn text(&self, from: usize, to: usize) -> &str {
        // It was checked when the message was made.
        std::str::from_utf8(&self.record[from..to]).unwrap_or_default()
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("exchange", &self.exchange())
            .field("routing_key", &self.routing_key())
            .field("properties", &self.decode_properties())
            .field("body", &String::from_utf8_lossy(self.body()))
            .finish()
    }
}

/// Reads the flags and values of properties.
pub(super) fn decode(properties: &[u8]) -> Result<BasicProperties, BadMessage> {
    match parse_properties(properties) {
        Ok(([], properties)) => Ok(properties),
        _ => Err(BadMessage::Properties),
    }
}

/// Writes properties as they are on the wire.
pub(super) fn encode(properties: &BasicProperties) -> Result<Vec<u8>, BadMessage> {
    let written = gen_properties(properties)(WriteContext::from(Vec::new()));
    written.map(|context| context.into_inner().0).map_err(|_| BadMessage::Properties)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn properties() -> BasicProperties {
        BasicProperties::default()
            .with_delivery_mode(2)
            .with_expiration("1500".into())
            .with_message_id("m1".into())
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let message = Message::with("events", "order.created", &properties(), b"{}").expect("it is good");

        let read = Message::from_record(message.record()).expect("it is a record");

        assert_eq!(read, message);
        assert_eq!(Message::body_size_of(message.record()), 2);
        assert_eq!(
            (read.exchange(), read.routing_key(), read.body()),
            ("events", "order.created", &b"{}"[..])
        );
        assert_eq!(read.decode_properties(), properties());
        assert_eq!((read.is_persistent(), read.expiration()), (true, Some(Duration::from_millis(1500))));
    }

    #[test]
    fn what_is_cut_short_is_no_record() {
        let message = Message::with("events", "order.created", &properties(), b"").expect("it is good");

        for length in 0..message.record().len() {
            assert!(Message::from_record(&message.record()[..length]).is_err(), "{length} bytes");
        }
    }

    #[test]
    fn an_expiration_is_a_number_of_milliseconds() {
        let properties = BasicProperties::default().with_expiration("soon".into());

        assert_eq!(Message::with("", "q", &properties, b""), Err(BadMessage::Expiration("soon".into())));
    }
}
