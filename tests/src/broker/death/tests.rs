use std::time::Duration;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::FieldTable;

use super::*;

const NOON: Duration = Duration::from_secs(1_700_000_000);

fn long(number: i64) -> AMQPValue {
    AMQPValue::LongLongInt(number)
}

fn table(rows: &[(&str, AMQPValue)]) -> AMQPValue {
    AMQPValue::FieldTable(rows_of(rows))
}

fn rows_of(rows: &[(&str, AMQPValue)]) -> FieldTable {
    rows.iter().map(|(key, value)| ((*key).into(), value.clone())).collect::<Headers>().into()
}

fn with_headers(rows: &[(&str, AMQPValue)]) -> Message {
    let properties = BasicProperties::default().with_headers(rows_of(rows));
    Message::with("", "q", &properties, b"body").expect("it is good")
}

fn to(routing_key: Option<&str>) -> DeadLetter {
    DeadLetter { exchange: "dead".to_owned(), routing_key: routing_key.map(str::to_owned) }
}

fn dies(message: &Message, queue: &str, reason: Reason) -> Message {
    dead_letter(message, queue, reason, &to(None), UNIX_EPOCH + NOON)
}

fn header(message: &Message, key: &str) -> Option<AMQPValue> {
    message.decode_properties().headers().as_ref()?.inner().get(key).cloned()
}

/// Queue, reason and count of each death, the newest first.
fn history(message: &Message) -> Vec<(String, String, i64)> {
    let Some(AMQPValue::FieldArray(deaths)) = header(message, DEATHS) else {
        panic!("{message:?} has no history")
    };
    let death = |death: &AMQPValue| {
        let death = death.as_field_table().expect("a death is a table").inner();
        (
            death["queue"].as_long_string().expect("a text").to_string(),
            death["reason"].as_long_string().expect("a text").to_string(),
            death["count"].as_long_long_int().expect("a long"),
        )
    };
    deaths.as_slice().iter().map(death).collect()
}

fn entry(queue: &str, reason: &str, count: i64) -> (String, String, i64) {
    (queue.to_owned(), reason.to_owned(), count)
}

#[test]
fn the_first_death_is_told_as_rabbitmq_tells_it() {
    let properties = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_delivery_mode(2)
        .with_message_id("m".into())
        .with_expiration("20".into())
        .with_headers(rows_of(&[("z", AMQPValue::LongInt(1))]));
    let message = Message::with("events", "key", &properties, b"body").expect("it is good");

    let dead = dead_letter(&message, "q", Reason::Expired, &to(Some("other")), UNIX_EPOCH + NOON);

    let death = table(&[
        ("count", long(1)),
        ("reason", text("expired")),
        ("queue", text("q")),
        ("time", AMQPValue::Timestamp(NOON.as_secs())),
        ("exchange", text("events")),
        ("routing-keys", AMQPValue::FieldArray(vec![text("key")].into())),
        ("original-expiration", text("20")),
    ]);
    let expected = BasicProperties::default()
        .with_content_type("text/plain".into())
        .with_delivery_mode(2)
        .with_message_id("m".into())
        .with_headers(rows_of(&[
            ("z", AMQPValue::LongInt(1)),
            ("x-first-death-exchange", text("events")),
            ("x-first-death-queue", text("q")),
            ("x-first-death-reason", text("expired")),
            ("x-death", AMQPValue::FieldArray(vec![death].into())),
        ]));
    assert_eq!(dead.decode_properties(), expected);
    assert_eq!((dead.exchange(), dead.routing_key(), dead.body()), ("dead", "other", &b"body"[..]));
    assert!(dead.is_persistent() && dead.expiration().is_none());
}

#[test]
fn all_properties_but_the_expiration_are_kept() {
    let properties = BasicProperties::default()
        .with_content_encoding("a".into())
        .with_priority(3)
        .with_correlation_id("b".into())
        .with_reply_to("c".into())
        .with_timestamp(4)
        .with_type("d".into())
        .with_user_id("e".into())
        .with_app_id("f".into())
        .with_cluster_id("g".into());
    let message = Message::with("", "q", &properties.clone().with_expiration("1".into()), b"");

    let dead = dies(&message.expect("it is good"), "q", Reason::MaxLen).decode_properties();

    let headers = dead.headers().clone().expect("it has headers");
    assert_eq!(dead, properties.with_headers(headers));
}

#[test]
fn the_key_stays_where_no_other_is_given() {
    assert_eq!(dies(&with_headers(&[]), "q", Reason::Rejected).routing_key(), "q");
}

/// The very course that was taken through RabbitMQ 3.10.8, and what it said at each step.
#[test]
fn the_history_of_a_long_way_is_rabbitmqs() {
    let mut message = with_headers(&[]);
    let mut die = |queue, reason| {
        message = dies(&message, queue, reason);
        history(&message)
    };
    let expired = entry("d1", "expired", 1);
    let rejected = |queue, count| entry(queue, "rejected", count);

    assert_eq!(die("d1", Reason::Expired), std::slice::from_ref(&expired));
    assert_eq!(die("d2", Reason::Rejected), [rejected("d2", 1), expired.clone()]);
    assert_eq!(die("d3", Reason::Rejected), [rejected("d3", 1), expired.clone(), rejected("d2", 1)]);
    assert_eq!(
        die("d1", Reason::Rejected),
        [rejected("d1", 1), rejected("d2", 1), expired.clone(), rejected("d3", 1)]
    );
    assert_eq!(
        die("d2", Reason::Rejected),
        [rejected("d2", 2), rejected("d3", 1), expired.clone(), rejected("d1", 1)]
    );
    assert_eq!(
        die("d3", Reason::Rejected),
        [rejected("d3", 2), rejected("d1", 1), expired.clone(), rejected("d2", 2)]
    );
    assert_eq!(header(&message, "x-first-death-queue"), Some(text("d1")));
    assert_eq!(header(&message, "x-first-death-reason"), Some(text("expired")));
}

#[test]
fn a_history_that_a_client_wrote_is_taken_as_rabbitmq_takes_it() {
    let with = |deaths| dies(&with_headers(&[(DEATHS, deaths)]), "d1", Reason::Rejected);
    let list = |deaths: Vec<AMQPValue>| AMQPValue::FieldArray(deaths.into());
    let rejected = |queue: &str| table(&[("queue", text(queue)), ("reason", text("rejected"))]);
    let counted = |count| {
        table(&[("queue", text("d1")), ("reason", text("rejected")), ("count", AMQPValue::LongInt(count))])
    };

    let unreadable = with(text("bad"));
    assert_eq!(history(&unreadable), [entry("d1", "rejected", 1)]);
    assert_eq!(header(&unreadable, "x-first-death-queue"), None);
    assert_eq!(history(&with(list(vec![]))), [entry("d1", "rejected", 1)]);
    assert_eq!(history(&with(list(vec![rejected("d1")]))), [entry("d1", "rejected", 1)]);
    assert_eq!(history(&with(list(vec![counted(7)]))), [entry("d1", "rejected", 8)]);
    assert_eq!(
        history(&with(list(vec![rejected("d1"), rejected("d1"), rejected("d9")]))),
        [entry("d1", "rejected", 3), entry("d9", "rejected", 1)]
    );
    // RabbitMQ's queue crashes here, and its message is lost.
    assert_eq!(history(&with(list(vec![long(1), text("x")]))), [entry("d1", "rejected", 1)]);
}

#[test]
fn a_message_does_not_go_round_without_a_rejection() {
    let mut message = with_headers(&[]);
    message = dies(&message, "a", Reason::Expired);
    assert!(is_cycle(&message, "a", Reason::Expired));
    assert!(!is_cycle(&message, "b", Reason::Expired));

    message = dies(&message, "b", Reason::MaxLen);
    assert!(is_cycle(&message, "a", Reason::MaxLen));
    assert!(is_cycle(&message, "b", Reason::MaxLen));
    assert!(!is_cycle(&message, "c", Reason::MaxLen));
}

#[test]
fn a_message_goes_round_where_a_consumer_rejected_it() {
    let once = dies(&with_headers(&[]), "a", Reason::Expired);
    assert!(!is_cycle(&once, "a", Reason::Rejected));

    let rejected = dies(&once, "b", Reason::Rejected);
    assert!(!is_cycle(&rejected, "a", Reason::Expired));
    assert!(!is_cycle(&rejected, "b", Reason::Expired));

    assert!(!is_cycle(&with_headers(&[]), "a", Reason::Expired));
}

#[test]
fn a_delivery_count_is_added_to_the_headers() {
    let message = with_headers(&[("k", text("v")), ("x-delivery-count", long(1))]);

    let properties = with_delivery_count(message.properties(), 2);

    let counted = Message::new("", "q", &properties, b"body").expect("it is good");
    assert_eq!(counted, with_headers(&[("k", text("v")), ("x-delivery-count", long(2))]));
    let bare = Message::with("", "q", &BasicProperties::default(), b"").expect("it is good");
    let counted = Message::new("", "q", &with_delivery_count(bare.properties(), 0), b"").expect("it is good");
    assert_eq!(header(&counted, "x-delivery-count"), Some(long(0)));
}
