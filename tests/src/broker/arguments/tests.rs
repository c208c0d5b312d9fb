use std::time::Duration;

use amq_protocol::types::{AMQPValue, FieldTable};

use super::queue::QueueDeclaration;
use super::*;
use crate::broker::{Refusal, Scope};

fn table(rows: &[(&str, AMQPValue)]) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in rows {
        table.insert((*key).into(), value.clone());
    }
    table
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(text.into())
}

fn int(number: i32) -> AMQPValue {
    AMQPValue::LongInt(number)
}

fn long(number: i64) -> AMQPValue {
    AMQPValue::LongLongInt(number)
}

fn declaration(
    (durable, exclusive, auto_delete): (bool, bool, bool),
    arguments: &FieldTable,
) -> QueueDeclaration<'_> {
    QueueDeclaration { durable, exclusive, auto_delete, arguments }
}

fn durable(rows: &[(&str, AMQPValue)]) -> Result<QueueOptions, Refusal> {
    QueueOptions::parse("q", "/", declaration((true, false, false), &table(rows)))
}

fn quorum(rows: &[(&str, AMQPValue)]) -> Result<QueueOptions, Refusal> {
    durable(&[rows, &[("x-queue-type", text("quorum"))]].concat())
}

/// That it is refused with 406, and this text behind the code's name.
fn refused_406<T: std::fmt::Debug>(result: Result<T, Refusal>, text: &str) {
    let refusal = result.expect_err(text);
    assert_eq!(refusal.text, format!("PRECONDITION_FAILED - {text}"));
    assert_eq!((refusal.code, refusal.scope), (406, Scope::Channel));
}

#[test]
fn a_wrong_argument_of_a_classic_queue_is_refused_in_rabbitmqs_words() {
    // What RabbitMQ 3.10.8 answered.
    let cases = [
        ("x-queue-type", text("foo"), "\"unsupported queue type 'foo'\""),
        ("x-queue-type", int(5), "{unacceptable_type,signedint}"),
        ("x-message-ttl", int(-1), "{value_negative,-1}"),
        ("x-message-ttl", text("a"), "\"expected integer, got longstr\""),
        ("x-message-ttl", AMQPValue::Boolean(true), "\"expected integer, got bool\""),
        ("x-message-ttl", long(315_360_000_001), "{value_too_large,315360000001}"),
        ("x-message-ttl", AMQPValue::Void, "\"expected integer, got void\""),
        ("x-expires", int(0), "{value_zero,0}"),
        ("x-expires", int(-5), "{value_negative,-5}"),
        ("x-max-length", int(-1), "{value_negative,-1}"),
        ("x-max-length-bytes", text("a"), "\"expected integer, got longstr\""),
        ("x-overflow", text("foo"), "invalid_overflow"),
        ("x-overflow", int(3), "{unacceptable_type,signedint}"),
        ("x-dead-letter-routing-key", text("a"), "routing_key_but_no_dlx_defined"),
        ("x-queue-mode", text("foo"), "\"unsupported queue mode 'foo'\""),
        ("x-queue-version", int(3), "\"unsupported queue version '3'\""),
        ("x-single-active-consumer", int(1), "{unacceptable_type,signedint}"),
        ("x-max-priority", int(-1), "{value_negative,-1}"),
        ("x-max-priority", int(300), "{max_value_exceeded,300}"),
    ];

    for (key, value, why) in cases {
        refused_406(
            durable(&[(key, value)]),
            &format!("invalid arg '{key}' for queue 'q' in vhost '/': {why}"),
        );
    }
    refused_406(
        durable(&[("x-dead-letter-exchange", int(3))]),
        "invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost '/'",
    );
}

#[test]
fn a_wrong_argument_of_a_quorum_queue_is_refused_in_rabbitmqs_words() {
    let cases = [
        ("x-dead-letter-strategy", text("foo"), "invalid_dlx_strategy"),
        ("x-queue-leader-locator", text("foo"), "invalid_queue_locator_arg"),
        ("x-queue-leader-locator", int(1), "{unacceptable_type,signedint}"),
        ("x-quorum-initial-group-size", int(0), "{value_zero,0}"),
        ("x-max-in-memory-length", int(-1), "{value_negative,-1}"),
    ];

    for (key, value, why) in cases {
        refused_406(
            quorum(&[(key, value)]),
            &format!("invalid arg '{key}' for queue 'q' in vhost '/': {why}"),
        );
    }
}

#[test]
fn an_argument_of_the_other_type_of_queue_is_refused() {
    let classic = ["x-delivery-limit", "x-dead-letter-strategy", "x-queue-leader-locator", "x-max-age"];
    for key in classic {
        let why =
            format!("invalid arg '{key}' for queue 'q' in vhost '/' of queue type rabbit_classic_queue");
        refused_406(durable(&[(key, text("1h"))]), &why);
    }
    for key in ["x-queue-mode", "x-max-priority"] {
        let why = format!("invalid arg '{key}' for queue 'q' in vhost '/' of queue type rabbit_quorum_queue");
        refused_406(quorum(&[(key, int(1))]), &why);
    }
}

#[test]
fn a_quorum_queue_is_durable_and_nobodys() {
    let quorum = table(&[("x-queue-type", text("quorum"))]);
    let cases = [
        ((false, false, false), "non-durable"),
        ((true, true, false), "exclusive-owner"),
        ((true, false, true), "auto-delete"),
        ((false, true, true), "auto-delete"),
    ];

    for (flags, property) in cases {
        refused_406(
            QueueOptions::parse("q", "/", declaration(flags, &quorum)),
            &format!("invalid property '{property}' for queue 'q' in vhost '/'"),
        );
    }
}

#[test]
fn what_the_embedded_broker_does_not_do_is_refused_by_name() {
    let cases = [
        ("x-max-priority", int(2)),
        ("x-single-active-consumer", AMQPValue::Boolean(true)),
        ("x-queue-type", text("stream")),
    ];

    for (key, value) in cases {
        let refusal = durable(&[(key, value)]).expect_err(key);
        assert_eq!((refusal.code, refusal.scope), (540, Scope::Connection));
        assert!(
            refusal.text.starts_with(&format!("NOT_IMPLEMENTED - argument '{key}' of queue 'q'")),
            "{refusal}"
        );
        assert!(refusal.text.contains("the embedded broker has no"), "{refusal}");
    }
}

#[test]
fn a_dead_letter_name_that_no_frame_could_carry_is_refused() {
    let options = durable(&[
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(&"k".repeat(256))),
    ]);

    assert_eq!(options.expect_err("it is too long").code, 406);
}

#[test]
fn a_declaration_is_understood() {
    let options = quorum(&[
        ("x-message-ttl", int(1500)),
        ("x-expires", AMQPValue::ShortShortUInt(9)),
        ("x-max-length", long(5)),
        ("x-max-length-bytes", AMQPValue::LongUInt(u32::MAX)),
        ("x-overflow", text("reject-publish")),
        ("x-dead-letter-exchange", text("dead")),
        ("x-dead-letter-routing-key", text("key")),
        ("x-delivery-limit", int(3)),
        ("x-foo", int(1)),
    ])
    .expect("it is good");

    assert_eq!(options.kind, QueueKind::Quorum);
    assert_eq!(options.message_ttl, Some(Duration::from_millis(1500)));
    assert_eq!(options.expires, Some(Duration::from_millis(9)));
    assert_eq!((options.max_length, options.max_length_bytes), (Some(5), Some(u64::from(u32::MAX))));
    assert_eq!(options.overflow, Overflow::RejectPublish);
    let dead_letter = DeadLetter { exchange: "dead".to_owned(), routing_key: Some("key".to_owned()) };
    assert_eq!((options.dead_letter, options.delivery_limit), (Some(dead_letter), Some(3)));
}

#[test]
fn odd_declarations_mean_what_they_mean_to_rabbitmq() {
    let limit = |value| quorum(&[("x-delivery-limit", value)]).expect("RabbitMQ takes any").delivery_limit;
    assert_eq!((limit(int(-1)), limit(text("a"))), (Some(0), None));

    let overflow = [("x-overflow", text("reject-publish-dlx"))];
    assert_eq!(durable(&overflow).expect("it is good").overflow, Overflow::RejectPublishDlx);
    assert_eq!(quorum(&overflow).expect("it is good").overflow, Overflow::DropHead);

    let exclusive = QueueOptions::parse("q", "/", declaration((true, true, false), &FieldTable::default()));
    assert!(!exclusive.expect("it is good").durable);
}

#[test]
fn a_queue_is_declared_again_only_as_it_is() {
    let rows = [("x-max-length", int(5)), ("x-dead-letter-exchange", text("a"))];
    let current = durable(&rows).expect("it is good");
    let with = |more: &[(&str, AMQPValue)]| table(&[&rows, more].concat());
    let again = |arguments: &FieldTable| {
        current.check_redeclared("q", "/", declaration((true, false, false), arguments))
    };
    let why = |what: &str| format!("inequivalent arg {what}");

    for same in [
        vec![],
        vec![("x-max-length", long(5))],
        vec![("x-queue-type", text("classic"))],
        vec![("x-foo", int(1)), ("x-delivery-limit", int(4))],
    ] {
        assert_eq!(again(&with(&same)), Ok(()), "{same:?}");
    }

    let cases = [
        (
            table(&[]),
            "'x-dead-letter-exchange' for queue 'q' in vhost '/': received none but current is the value 'a' of type 'longstr'",
        ),
        (
            with(&[("x-max-length", int(-6))]),
            "'x-max-length' for queue 'q' in vhost '/': received '-6' but current is '5'",
        ),
        (
            with(&[("x-max-length", text("5"))]),
            "'x-max-length' for queue 'q' in vhost '/': received '5' but current is '5'",
        ),
        (
            with(&[("x-max-length", AMQPValue::FieldArray(vec![int(5), text("a")].into()))]),
            "'x-max-length' for queue 'q' in vhost '/': received '[{signedint,5},{longstr,<<\"a\">>}]' but current is '5'",
        ),
        (
            with(&[("x-message-ttl", AMQPValue::Boolean(true))]),
            "'x-message-ttl' for queue 'q' in vhost '/': received the value 'true' of type 'bool' but current is none",
        ),
        (
            with(&[("x-queue-type", text("quorum"))]),
            "'x-queue-type' for queue 'q' in vhost '/': received the value 'quorum' of type 'longstr' but current is none",
        ),
    ];
    for (arguments, what) in cases {
        refused_406(again(&arguments), &why(what));
    }

    let same = table(&rows);
    refused_406(
        current.check_redeclared("q", "/", declaration((false, false, false), &same)),
        &why("'durable' for queue 'q' in vhost '/': received 'false' but current is 'true'"),
    );
    refused_406(
        current.check_redeclared("q", "/", declaration((true, false, true), &same)),
        &why("'auto_delete' for queue 'q' in vhost '/': received 'true' but current is 'false'"),
    );
    let exclusive = current.check_redeclared("q", "/", declaration((true, true, false), &same));
    assert_eq!(exclusive, Err(Refusal::resource_locked("q", "/")));
}

#[test]
fn options_are_kept_as_they_are() {
    let arguments = [
        ("x-max-length", long(5)),
        ("x-foo", AMQPValue::Double(f64::INFINITY)),
        ("bar", AMQPValue::LongString(vec![0xff].into())),
        ("nested", AMQPValue::FieldTable(table(&[("a", AMQPValue::Timestamp(7))]))),
    ];
    let options = quorum(&arguments).expect("it is good");

    let kept = serde_json::to_vec(&options).expect("it can be written");

    assert_eq!(serde_json::from_slice::<QueueOptions>(&kept).expect("it can be read"), options);
}
