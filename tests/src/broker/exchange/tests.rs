use amq_protocol::types::{AMQPValue, FieldTable};

use super::*;
use crate::broker::Scope;

fn arguments() -> FieldTable {
    FieldTable::default()
}

fn of_kind<'a>(kind: &'a str, arguments: &'a FieldTable) -> ExchangeDeclaration<'a> {
    ExchangeDeclaration { kind, durable: true, auto_delete: false, internal: false, arguments }
}

/// Exchanges with one of this kind, called `x`.
fn exchanges(kind: &str, bindings: &[(&str, QueueId)]) -> Exchanges {
    let mut exchanges = Exchanges::new("/");
    let declared = exchanges.declare("x", of_kind(kind, &arguments()));
    assert_eq!(declared, Ok(Declared::New));
    for (key, queue) in bindings {
        assert_eq!(exchanges.bind("x", *queue, key, &arguments()), Ok(true));
    }
    exchanges
}

fn route(exchanges: &Exchanges, key: &str) -> Vec<QueueId> {
    let mut queues = Vec::new();
    exchanges.route("x", key, &mut queues).expect("it is there");
    queues
}

#[test]
fn a_direct_exchange_chooses_by_the_same_key() {
    let exchanges = exchanges("direct", &[("a", 1), ("a", 2), ("b", 3), ("#", 4)]);

    assert_eq!(route(&exchanges, "a"), [1, 2]);
    assert_eq!(route(&exchanges, "b"), [3]);
    assert_eq!(route(&exchanges, "c"), Vec::<QueueId>::new());
}

#[test]
fn a_fanout_exchange_chooses_all() {
    let exchanges = exchanges("fanout", &[("a", 2), ("", 1), ("b", 2)]);

    assert_eq!(route(&exchanges, "whatever"), [1, 2]);
}

#[test]
fn a_topic_exchange_chooses_each_queue_once_although_several_bindings_match() {
    let exchanges = exchanges("topic", &[("a.b", 1), ("a.*", 1), ("#", 2), ("*.b", 1), ("b.#", 3)]);

    assert_eq!(route(&exchanges, "a.b"), [1, 2]);
    assert_eq!(route(&exchanges, "b"), [2, 3]);
}

#[test]
fn what_was_chosen_before_stays() {
    let exchanges = exchanges("topic", &[("#", 2), ("a", 2), ("a", 1)]);
    let mut queues = vec![9];

    exchanges.route("x", "a", &mut queues).expect("it is there");

    assert_eq!(queues, [9, 1, 2]);
}

#[test]
fn a_declaration_is_refused_in_rabbitmqs_words() {
    let mut exchanges = exchanges("direct", &[]);
    let none = arguments();
    let alternate = |value| {
        let mut table = FieldTable::default();
        table.insert("alternate-exchange".into(), value);
        table
    };
    let (text, number) = (alternate(AMQPValue::LongString("a".into())), alternate(AMQPValue::LongInt(3)));
    let direct = of_kind("direct", &none);
    let on_x = "inequivalent arg";
    let cases = [
        ("y", of_kind("x-odd", &none), 503, "COMMAND_INVALID - unknown exchange type 'x-odd'".to_owned()),
        ("", direct, 403, "ACCESS_REFUSED - operation not permitted on the default exchange".to_owned()),
        ("amq.y", direct, 403, "ACCESS_REFUSED - exchange name 'amq.y' contains reserved prefix 'amq.*'".to_owned()),
        (
            "x",
            of_kind("headers", &none),
            406,
            format!("PRECONDITION_FAILED - {on_x} 'type' for exchange 'x' in vhost '/': received 'headers' but current is 'direct'"),
        ),
        (
            "x",
            ExchangeDeclaration { durable: false, ..direct },
            406,
            format!("PRECONDITION_FAILED - {on_x} 'durable' for exchange 'x' in vhost '/': received 'false' but current is 'true'"),
        ),
        (
            "x",
            ExchangeDeclaration { internal: true, ..direct },
            406,
            format!("PRECONDITION_FAILED - {on_x} 'internal' for exchange 'x' in vhost '/': received 'true' but current is 'false'"),
        ),
        (
            "x",
            of_kind("direct", &text),
            406,
            format!("PRECONDITION_FAILED - {on_x} 'alternate-exchange' for exchange 'x' in vhost '/': received the value 'a' of type 'longstr' but current is none"),
        ),
        (
            "y",
            of_kind("direct", &number),
            406,
            "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'y' in vhost '/'".to_owned(),
        ),
    ];

    for (name, declaration, code, text) in cases {
        let refusal = exchanges.declare(name, declaration).expect_err(&text);
        assert_eq!((refusal.code, refusal.text), (code, text));
    }
    for declaration in [of_kind("headers", &none), of_kind("direct", &text)] {
        let refusal = exchanges.declare("y", declaration).expect_err("it is not implemented");
        assert_eq!((refusal.code, refusal.scope), (540, Scope::Connection));
    }
    assert_eq!(exchanges.declare("x", direct), Ok(Declared::Existing));
    assert_eq!(exchanges.declare("amq.direct", direct), Ok(Declared::Existing));
}

#[test]
fn a_binding_needs_an_exchange_and_its_removal_does_not() {
    let mut exchanges = Exchanges::new("v");

    let missing = exchanges.bind("nope", 1, "k", &arguments()).expect_err("there is none");
    assert_eq!(missing.text, "NOT_FOUND - no exchange 'nope' in vhost 'v'");
    assert_eq!(exchanges.bind("", 1, "k", &arguments()), Err(Refusal::default_exchange()));

    assert_eq!(exchanges.unbind("nope", 1, "k", &arguments()), Ok(Unbound::Nothing));
    assert_eq!(exchanges.unbind("amq.direct", 1, "k", &arguments()), Ok(Unbound::Nothing));
    assert_eq!(exchanges.unbind("", 1, "k", &arguments()), Err(Refusal::default_exchange()));
}

#[test]
fn a_binding_is_made_once_and_its_arguments_are_part_of_it() {
    let mut exchanges = exchanges("topic", &[("a.#", 1)]);
    let mut other = FieldTable::default();
    other.insert("n".into(), AMQPValue::LongInt(1));

    assert_eq!(exchanges.bind("x", 1, "a.#", &arguments()), Ok(false));
    assert_eq!(exchanges.bind("x", 1, "a.#", &other), Ok(true));

    assert_eq!(exchanges.unbind("x", 1, "a.#", &arguments()), Ok(Unbound::Binding));
    assert_eq!(route(&exchanges, "a"), [1]);
    assert_eq!(exchanges.unbind("x", 1, "a.#", &other), Ok(Unbound::Binding));
    assert_eq!(route(&exchanges, "a"), Vec::<QueueId>::new());
}

#[test]
fn an_auto_delete_exchange_goes_with_its_last_binding_and_not_before_its_first() {
    let mut exchanges = Exchanges::new("/");
    let none = arguments();
    let auto_delete = ExchangeDeclaration { auto_delete: true, ..of_kind("fanout", &none) };
    for name in ["one", "two"] {
        exchanges.declare(name, auto_delete).expect("it is good");
    }
    assert_eq!(exchanges.forget_queue(7), Vec::<String>::new());

    exchanges.bind("one", 7, "", &none).expect("it is there");
    exchanges.bind("two", 7, "", &none).expect("it is there");
    exchanges.bind("two", 8, "", &none).expect("it is there");

    assert_eq!(exchanges.forget_queue(7), ["one"]);
    assert!(exchanges.passive("one").is_err() && exchanges.passive("two").is_ok());
    assert_eq!(exchanges.unbind("two", 8, "", &none), Ok(Unbound::BindingAndExchange));
    assert!(exchanges.passive("two").is_err());
}

#[test]
fn an_exchange_is_deleted_with_its_bindings() {
    let mut exchanges = exchanges("topic", &[("a.#", 1)]);

    let in_use = exchanges.delete("x", true).expect_err("it has a binding");
    assert_eq!(
        (in_use.code, in_use.text.as_str()),
        (406, "PRECONDITION_FAILED - exchange 'x' in vhost '/' in use")
    );

    let binding =
        Binding { exchange: "x".to_owned(), queue: 1, routing_key: "a.#".to_owned(), arguments: arguments() };
    assert_eq!(exchanges.bindings().collect::<Vec<_>>(), std::slice::from_ref(&binding));
    assert_eq!(exchanges.bindings_of("x"), exchanges.bindings_to(1));
    assert_eq!((exchanges.bindings_of("nope"), exchanges.bindings_to(2)), (vec![], vec![]));
    assert_eq!(exchanges.delete("x", false), Ok(Some(vec![binding])));
    assert_eq!(exchanges.delete("x", false), Ok(None));
    assert_eq!(exchanges.route("x", "a", &mut Vec::new()).map_err(|refusal| refusal.code), Err(404));
}

#[test]
fn the_exchanges_of_every_virtual_host_stay() {
    let mut exchanges = Exchanges::new("/");

    assert_eq!(exchanges.delete("", false), Err(Refusal::default_exchange()));
    let refusal = exchanges.delete("amq.topic", false).expect_err("it stays");
    assert_eq!(
        refusal.text,
        "ACCESS_REFUSED - deletion of system exchange 'amq.topic' in vhost '/' not allowed"
    );
    assert!(exchanges.passive("amq.topic").is_ok());
    assert_eq!(exchanges.passive(""), Err(Refusal::default_exchange()));
}

#[test]
fn only_dead_letters_go_to_an_internal_exchange() {
    let mut exchanges = Exchanges::new("/");
    let none = arguments();
    let internal = ExchangeDeclaration { internal: true, ..of_kind("fanout", &none) };
    exchanges.declare("x", internal).expect("it is good");
    exchanges.bind("x", 1, "", &none).expect("it is there");
    let mut queues = Vec::new();

    let refusal = exchanges.route("x", "k", &mut queues).expect_err("it is internal");
    assert_eq!(refusal.text, "ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost '/'");
    exchanges.route_dead_letter("x", "k", &mut queues);
    exchanges.route_dead_letter("nope", "k", &mut queues);

    assert_eq!(queues, [1]);
}

#[test]
fn exchanges_and_bindings_are_kept_as_they_are() {
    let before = exchanges("topic", &[("a.#", 1), ("b", 2)]);
    let kept = |value: serde_json::Result<Vec<u8>>| value.expect("it can be written");

    let mut after = Exchanges::new("/");
    for (name, options) in before.iter() {
        let bytes = kept(serde_json::to_vec(options));
        after.restore(name, serde_json::from_slice(&bytes).expect("it can be read"));
    }
    for binding in before.bindings() {
        let bytes = kept(serde_json::to_vec(&binding));
        let Binding { exchange, queue, routing_key, arguments } =
            serde_json::from_slice(&bytes).expect("it can be read");
        assert_eq!(after.bind(&exchange, queue, &routing_key, &arguments), Ok(true));
    }

    assert_eq!(route(&after, "a.b"), [1]);
    assert_eq!(route(&after, "b"), [2]);
    assert!(after.iter().eq(before.iter()));
}
