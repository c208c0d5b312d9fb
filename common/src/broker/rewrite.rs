//! How a message changes on its way to a retry queue, to the dead letters, and back.
//!
//! Its body, properties and headers stay as they came, so that nothing is lost to whoever reads a dead letter,
//! except what would act at the broker and not be ours to send:
//!
//! - `expiration`: it would let the message vanish from where it waits;
//! - `user_id`: the broker refuses one that is not the sender's, and closes the channel;
//! - `CC` and `BCC`: the broker would route copies to other queues;
//! - `x-death` and its kin, except among the dead letters: 3.10 takes a message that seems to go in circles for
//!   a mistake and drops it;
//! - headers so large that ours do not fit beside them.

use std::time::Duration;

use jiff::Timestamp;
use lapin::{
    BasicProperties,
    types::{AMQPValue, FieldTable, ShortString},
};

use super::{
    BrokerConfig,
    message::{ATTEMPT, Incoming, Outgoing, REASON, ROUTING_KEY, short, text},
    topology::{DEAD, retry},
};

/// How many attempts failed before a message became a dead letter.
pub(super) const ATTEMPTS: &str = "x-attempts";
/// The queue whose consumer gave a dead letter up.
pub(super) const QUEUE: &str = "x-queue";
/// When it did.
pub(super) const FAILED_AT: &str = "x-failed-at";

/// Longest reason that is kept, in bytes; headers have to fit into one frame.
const REASON_MAX: usize = 1000;

/// Most bytes of headers that travel on. Together with ours and the other properties they have to fit into one
/// frame, or the broker ends the connection that sends it, and the message comes again for ever.
const HEADERS_MAX: usize = BrokerConfig::FRAME_MAX as usize - 8 * 1024;

impl Incoming {
    /// The message as it waits in the retry queue of `delay` until its next attempt.
    pub(super) fn for_retry(&self, queue: &str, delay: Duration, reason: &str) -> Outgoing {
        self.back_to(queue, retry(delay), self.attempt().saturating_add(1), Some(reason))
    }

    /// The message as it goes to the end of its own queue, as if it had not been delivered.
    pub(super) fn for_later(&self, queue: &str) -> Outgoing {
        self.back_to(queue, String::new(), self.attempt(), None)
    }

    /// The message as it lies among the dead letters.
    pub(super) fn for_the_dead(&self, queue: &str, reason: &str, now: Timestamp) -> Outgoing {
        let mut headers = self.headers(|name| name != ATTEMPT);
        headers.insert(REASON.into(), text(cut(reason)));
        headers.insert(ATTEMPTS.into(), AMQPValue::LongLongInt(i64::from(self.attempt())));
        headers.insert(QUEUE.into(), text(queue));
        headers.insert(ROUTING_KEY.into(), text(self.original_routing_key()));
        headers.insert(FAILED_AT.into(), text(&now.to_string()));
        Outgoing {
            exchange: DEAD.to_owned(),
            routing_key: self.original_routing_key().to_owned(),
            properties: self.properties_with(headers),
            body: self.body.clone(),
        }
    }

    /// A dead letter as it goes back to the queue that it came from, to be attempted anew.
    pub(super) fn for_replay(&self, queue: &str, routing_key: &str) -> Outgoing {
        let ours = [ATTEMPT, REASON, ATTEMPTS, QUEUE, FAILED_AT];
        let mut headers = self.headers(|name| !ours.contains(&name) && !is_death_record(name));
        headers.insert(ROUTING_KEY.into(), text(routing_key));
        Outgoing {
            exchange: String::new(),
            routing_key: short(queue).into(),
            properties: self.properties_with(headers),
            body: self.body.clone(),
        }
    }

    fn back_to(&self, queue: &str, exchange: String, attempt: u32, reason: Option<&str>) -> Outgoing {
        let mut headers = self.headers(|name| !is_death_record(name));
        headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(i64::from(attempt)));
        headers.insert(ROUTING_KEY.into(), text(self.original_routing_key()));
        if let Some(reason) = reason {
            headers.insert(REASON.into(), text(cut(reason)));
        }
        Outgoing {
            exchange,
            routing_key: queue.to_owned(),
            properties: self.properties_with(headers),
            body: self.body.clone(),
        }
    }

    fn headers(&self, keep: impl Fn(&str) -> bool) -> FieldTable {
        let all = self.properties.headers().iter().flat_map(|headers| headers.inner());
        let mut kept: Vec<_> =
            all.filter(|(name, _)| !matches!(name.as_str(), "CC" | "BCC") && keep(name.as_str())).collect();
        kept.sort_by_key(|(name, value)| entry_size(name, value));
        let mut size = 0;
        let mut table = FieldTable::default();
        for (name, value) in kept {
            size += entry_size(name, value);
            if size > HEADERS_MAX {
                break;
            }
            table.insert(name.clone(), value.clone());
        }
        table
    }

    /// The message's properties with other headers, without those that act at the broker, and kept on disk.
    fn properties_with(&self, headers: FieldTable) -> BasicProperties {
        type Set = fn(BasicProperties, ShortString) -> BasicProperties;
        let from = &self.properties;
        let texts: [(&Option<ShortString>, Set); 8] = [
            (from.content_type(), BasicProperties::with_content_type),
            (from.content_encoding(), BasicProperties::with_content_encoding),
            (from.correlation_id(), BasicProperties::with_correlation_id),
            (from.reply_to(), BasicProperties::with_reply_to),
            (from.message_id(), BasicProperties::with_message_id),
            (from.kind(), BasicProperties::with_type),
            (from.app_id(), BasicProperties::with_app_id),
            (from.cluster_id(), BasicProperties::with_cluster_id),
        ];
        let mut to = BasicProperties::default().with_headers(headers).with_delivery_mode(2);
        for (value, set) in texts {
            if let Some(value) = value {
                to = set(to, value.clone());
            }
        }
        if let Some(priority) = from.priority() {
            to = to.with_priority(*priority);
        }
        if let Some(timestamp) = from.timestamp() {
            to = to.with_timestamp(*timestamp);
        }
        to
    }
}

/// Whether the broker wrote this header: where and why it moved the message, how often it delivered it.
fn is_death_record(name: &str) -> bool {
    let prefixes = ["x-death", "x-first-death-", "x-last-death-", "x-delivery-count", "x-acquired-count"];
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

/// How many bytes a header takes on the wire, or a few more.
fn entry_size(name: &ShortString, value: &AMQPValue) -> usize {
    fn size(value: &AMQPValue) -> usize {
        match value {
            AMQPValue::ShortString(text) => 2 + text.as_str().len(),
            AMQPValue::LongString(text) => 5 + text.as_bytes().len(),
            AMQPValue::ByteArray(bytes) => 5 + bytes.len(),
            AMQPValue::FieldArray(values) => 5 + values.as_slice().iter().map(size).sum::<usize>(),
            AMQPValue::FieldTable(table) => {
                5 + table.inner().iter().map(|(name, value)| entry_size(name, value)).sum::<usize>()
            }
            _ => 9,
        }
    }
    1 + name.as_str().len() + size(value)
}

fn cut(reason: &str) -> &str {
    &reason[..reason.floor_char_boundary(REASON_MAX)]
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    const OWN_QUEUE: &str = "users.order-created";

    fn incoming() -> Incoming {
        let mut headers = FieldTable::default();
        headers.insert("x-tenant".into(), text("t1"));
        headers.insert("CC".into(), AMQPValue::FieldArray(vec![text("elsewhere")].into()));
        headers.insert("x-death".into(), AMQPValue::FieldArray(Vec::new().into()));
        headers.insert("x-first-death-queue".into(), text("elsewhere"));
        let properties = BasicProperties::default()
            .with_message_id("m1".into())
            .with_expiration("1".into())
            .with_user_id("somebody".into())
            .with_delivery_mode(1)
            .with_timestamp(7)
            .with_headers(headers);
        Incoming {
            exchange: "events".to_owned(),
            routing_key: "order.created".to_owned(),
            redelivered: false,
            properties,
            body: Bytes::from_static(b"{}"),
        }
    }

    fn arrived(outgoing: Outgoing) -> Incoming {
        Incoming {
            exchange: String::new(),
            routing_key: outgoing.routing_key,
            redelivered: false,
            properties: outgoing.properties,
            body: outgoing.body,
        }
    }

    #[test]
    fn a_retried_message_comes_back_as_the_next_attempt_at_the_same_message() {
        let first = incoming();

        let outgoing = first.for_retry(OWN_QUEUE, Duration::from_secs(1), "the store is full");
        assert_eq!(outgoing.exchange, "events.retry.1000ms");
        assert_eq!(outgoing.routing_key, OWN_QUEUE);
        let second = arrived(outgoing);
        let third = arrived(second.for_retry(OWN_QUEUE, Duration::from_secs(5), "still full"));

        assert_eq!((second.attempt(), third.attempt()), (2, 3));
        assert_eq!(third.original_routing_key(), "order.created");
        assert_eq!(third.text(REASON).as_deref(), Some("still full"));
        assert_eq!(third.text("x-tenant").as_deref(), Some("t1"));
    }

    #[test]
    fn holding_a_message_counts_as_no_attempt() {
        let second = arrived(incoming().for_retry(OWN_QUEUE, Duration::from_secs(1), "failed"));

        let outgoing = second.for_later(OWN_QUEUE);

        assert_eq!((outgoing.exchange.as_str(), outgoing.routing_key.as_str()), ("", OWN_QUEUE));
        assert_eq!(arrived(outgoing).attempt(), 2);
    }

    #[test]
    fn a_dead_letter_says_why_where_and_when_and_keeps_the_rest() {
        let now = "2026-11-03T10:11:12Z".parse().expect("a sound time");

        let dead = incoming().for_the_dead(OWN_QUEUE, &"x".repeat(5000), now);

        assert_eq!((dead.exchange.as_str(), dead.routing_key.as_str()), ("events.dead", "order.created"));
        let dead = arrived(dead);
        assert_eq!(dead.text(REASON).map(|reason| reason.len()), Some(1000));
        assert_eq!(dead.text(QUEUE).as_deref(), Some(OWN_QUEUE));
        assert_eq!(dead.text(FAILED_AT).as_deref(), Some("2026-11-03T10:11:12Z"));
        assert_eq!(dead.header(ATTEMPTS), Some(&AMQPValue::LongLongInt(1)));
        assert_eq!(dead.text("x-tenant").as_deref(), Some("t1"));
        assert!(dead.header("x-death").is_some());
        assert_eq!(*dead.properties.timestamp(), Some(7));
    }

    #[test]
    fn what_acts_at_the_broker_does_not_travel_on() {
        let now = Timestamp::UNIX_EPOCH;
        let retried = incoming().for_retry(OWN_QUEUE, Duration::from_secs(1), "failed");
        assert!(arrived(retried).header("x-death").is_none());

        for outgoing in [
            incoming().for_retry(OWN_QUEUE, Duration::from_secs(1), "failed"),
            incoming().for_the_dead(OWN_QUEUE, "malformed", now),
            incoming().for_replay(OWN_QUEUE, "order.created"),
        ] {
            assert!(outgoing.properties.expiration().is_none());
            assert!(outgoing.properties.user_id().is_none());
            assert_eq!(*outgoing.properties.delivery_mode(), Some(2));
            assert!(arrived(outgoing).header("CC").is_none());
        }
    }

    #[test]
    fn headers_that_leave_no_room_for_ours_do_not_travel_on() {
        let mut message = incoming();
        let mut headers = message.properties.headers().clone().expect("it has headers");
        headers.insert("x-large".into(), text(&"x".repeat(HEADERS_MAX)));
        message.properties = message.properties.with_headers(headers);

        let dead = arrived(message.for_the_dead(OWN_QUEUE, "malformed", Timestamp::UNIX_EPOCH));

        assert!(dead.header("x-large").is_none());
        assert_eq!(dead.text("x-tenant").as_deref(), Some("t1"));
        assert_eq!(dead.text(REASON).as_deref(), Some("malformed"));
    }

    #[test]
    fn whatever_way_a_message_goes_its_headers_fit_into_a_frame() {
        let mut headers = FieldTable::default();
        headers.insert(ROUTING_KEY.into(), text(&"k".repeat(70_000)));
        headers.insert("x-large".into(), text(&"x".repeat(60_900)));
        let mut message = incoming();
        message.properties = message.properties.with_headers(headers);
        message.exchange = String::new();

        for outgoing in [
            message.for_retry(OWN_QUEUE, Duration::from_secs(1), "failed"),
            message.for_later(OWN_QUEUE),
            message.for_the_dead(OWN_QUEUE, "malformed", Timestamp::UNIX_EPOCH),
            message.for_replay(OWN_QUEUE, message.original_routing_key()),
        ] {
            let headers = outgoing.properties.headers().iter().flat_map(|headers| headers.inner());
            let size: usize = headers.map(|(name, value)| entry_size(name, value)).sum();
            assert!(
                size < HEADERS_MAX + 2 * REASON_MAX,
                "{size} bytes, where the other properties need some too"
            );
        }
    }

    #[test]
    fn a_replayed_dead_letter_begins_anew() {
        let dead = arrived(incoming().for_the_dead(OWN_QUEUE, "malformed", Timestamp::UNIX_EPOCH));

        let replayed = arrived(dead.for_replay(OWN_QUEUE, "order.created"));

        assert_eq!(replayed.attempt(), 1);
        assert_eq!(replayed.original_routing_key(), "order.created");
        for name in [REASON, ATTEMPTS, QUEUE, FAILED_AT, "x-death", "x-first-death-queue"] {
            assert!(replayed.header(name).is_none(), "{name}");
        }
    }
}
