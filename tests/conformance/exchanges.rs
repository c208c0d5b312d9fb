//! Exchanges: how each type routes, and what may be done to them.

use crate::support::{Answer, Channel, Exchange, Queue, channel, named};

async fn bound(channel: &Channel, name: &str, exchange: &str, keys: &[&str]) -> String {
    let queue = named(name);
    channel.declare(&Queue::named(&queue)).await.done();
    for key in keys {
        channel.bind(&queue, exchange, key).await.done();
    }
    queue
}

async fn a_direct_exchange_routes_by_the_whole_key() {
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "direct")).await.done();
    let one = bound(&channel, "one", &x, &["red", "blue"]).await;
    let other = bound(&channel, "other", &x, &["red", "green.*", "#"]).await;

    for key in ["red", "blue", "green.*", "green.leaf", "re"] {
        assert!(channel.put_to(&x, key, key).await);
    }

    assert_eq!(channel.take_texts(&one, 2).await, ["red", "blue"]);
    assert_eq!(channel.take_texts(&other, 2).await, ["red", "green.*"]);
    assert_eq!((channel.get(&one).await.done(), channel.get(&other).await.done()), (None, None));
}

async fn a_fanout_exchange_ignores_the_key() {
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "fanout")).await.done();
    let one = bound(&channel, "one", &x, &["red"]).await;
    let other = bound(&channel, "other", &x, &[""]).await;

    channel.put_to(&x, "blue", "to all").await;

    assert_eq!(
        (channel.take(&one).await.text(), channel.take(&other).await.text()),
        ("to all".into(), "to all".into())
    );
}

async fn a_topic_exchange_matches_words() {
    const EXPECTED: [(&str, &[&str]); 9] = [
        ("#", &["", "a", "a.b", "a.b.c", "b.a", "a..b", "A.b"]),
        ("*", &["a"]),
        ("a.*", &["a.b"]),
        ("a.#", &["a", "a.b", "a.b.c", "a..b"]),
        ("*.b", &["a.b", "A.b"]),
        ("#.b", &["a.b", "a..b", "A.b"]),
        ("a.*.b", &["a..b"]),
        ("#.b.#", &["a.b", "a.b.c", "b.a", "a..b", "A.b"]),
        ("a.b", &["a.b"]),
    ];
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "topic")).await.done();
    let mut queues = Vec::new();
    for (pattern, keys) in EXPECTED {
        queues.push((bound(&channel, &format!("q {pattern}"), &x, &[pattern]).await, pattern, keys));
    }

    for key in ["", "a", "a.b", "a.b.c", "b.a", "a..b", "A.b"] {
        channel.put_to(&x, key, key).await;
    }

    for (queue, pattern, keys) in queues {
        let ready = channel.ask(&queue).await.done().message_count;
        assert_eq!(channel.take_texts(&queue, ready as usize).await, keys, "{pattern}");
    }
}

async fn the_default_exchange_routes_to_the_queue_of_that_name() {
    let channel = channel().await;
    let q = bound(&channel, "q", "amq.direct", &[]).await;

    channel.put("", "lost").await;
    channel.put(&q, "found").await;

    let message = channel.take(&q).await;
    assert_eq!((message.text().as_str(), message.exchange.as_str(), message.routing_key), ("found", "", q));
}

async fn nothing_can_be_bound_to_the_default_exchange() {
    let channel = channel().await;
    let q = bound(&channel, "q", "amq.direct", &[]).await;

    channel
        .bind(&q, "", "key")
        .await
        .closes_channel(403, "ACCESS_REFUSED - operation not permitted on the default exchange");
}

async fn a_queue_gets_a_message_once_however_many_bindings_match() {
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "topic")).await.done();
    let q = bound(&channel, "q", &x, &["#", "a.*", "a.b", "*.b"]).await;

    channel.put_to(&x, "a.b", "once").await;

    assert_eq!(channel.ask(&q).await.done().message_count, 1);
}

async fn the_predeclared_exchanges_are_there() {
    let channel = channel().await;

    for kind in ["direct", "fanout", "topic"] {
        let exchange = Exchange::new(&format!("amq.{kind}"), kind);
        channel.declare_exchange(&exchange.clone().passive()).await.done();
        channel.declare_exchange(&exchange).await.done();
    }
}

async fn a_missing_exchange_is_not_found() {
    let channel = channel().await;
    let x = named("x");

    let missing = channel.declare_exchange(&Exchange::new(&x, "direct").passive()).await;

    missing.closes_channel(404, &format!("NOT_FOUND - no exchange '{x}' in vhost "));
}

async fn an_exchange_can_be_declared_again_as_it_is() {
    let channel = channel().await;
    let x = named("x");
    let q = bound(&channel, "q", "amq.direct", &[]).await;
    channel.declare_exchange(&Exchange::new(&x, "fanout")).await.done();
    channel.bind(&q, &x, "").await.done();

    channel.declare_exchange(&Exchange::new(&x, "fanout")).await.done();

    channel.put_to(&x, "", "still bound").await;
    assert_eq!(channel.take(&q).await.text(), "still bound");
}

async fn an_exchange_cannot_be_declared_again_as_another() {
    let first = channel().await;
    let x = named("x");
    first.declare_exchange(&Exchange::new(&x, "topic")).await.done();

    for (other, what) in [
        (Exchange::new(&x, "direct"), "type"),
        (Exchange::new(&x, "topic").transient(), "durable"),
        (Exchange::new(&x, "topic").auto_delete(), "auto_delete"),
        (Exchange::new(&x, "topic").internal(), "internal"),
    ] {
        let refused = channel().await.declare_exchange(&other).await;
        refused.closes_channel(
            406,
            &format!("PRECONDITION_FAILED - inequivalent arg '{what}' for exchange '{x}' in vhost "),
        );
    }
}

async fn names_that_begin_with_amq_are_the_brokers() {
    let name = "amq.mine";

    let refused = channel().await.declare_exchange(&Exchange::new(name, "direct")).await;
    refused.closes_channel(403, "ACCESS_REFUSED - exchange name 'amq.mine' contains reserved prefix 'amq.*'");
    let refused = channel().await.delete_exchange("amq.topic", false).await;
    refused.closes_channel(403, "ACCESS_REFUSED");
}

async fn the_default_exchange_can_be_neither_declared_nor_deleted() {
    let text = "ACCESS_REFUSED - operation not permitted on the default exchange";

    channel().await.declare_exchange(&Exchange::new("", "direct")).await.closes_channel(403, text);
    channel().await.delete_exchange("", false).await.closes_channel(403, text);
}

async fn an_unknown_type_ends_the_connection() {
    let channel = channel().await;

    let refused = channel.declare_exchange(&Exchange::new(&named("x"), "magic")).await;

    // 3.10: COMMAND_INVALID on the connection; 4.0: PRECONDITION_FAILED on the channel.
    let refused = refused.expect_err("there is no such type");
    assert!([503, 406].contains(&refused.code) && refused.text.contains("'magic'"), "{refused}");
}

async fn nobody_can_publish_to_an_internal_exchange() {
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "fanout").internal()).await.done();

    channel.publish(&x, "", "refused").await;

    channel
        .closed()
        .await
        .closes_channel(403, &format!("ACCESS_REFUSED - cannot publish to internal exchange '{x}'"));
}

async fn an_exchange_in_use_can_be_kept() {
    let first = channel().await;
    let x = named("x");
    first.declare_exchange(&Exchange::new(&x, "direct")).await.done();
    let q = bound(&first, "q", &x, &["key"]).await;

    let refused = channel().await.delete_exchange(&x, true).await;
    refused.closes_channel(406, &format!("PRECONDITION_FAILED - exchange '{x}' in vhost"));

    first.unbind(&q, &x, "key").await.done();
    first.delete_exchange(&x, true).await.done();
    let gone = first.declare_exchange(&Exchange::new(&x, "direct").passive()).await;
    gone.closes_channel(404, "NOT_FOUND");
}

async fn to_delete_a_missing_exchange_is_no_error() {
    let channel = channel().await;

    channel.delete_exchange(&named("missing"), false).await.done();
    channel.delete_exchange(&named("missing"), true).await.done();
}

async fn an_auto_delete_exchange_goes_with_its_last_binding() {
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "direct").auto_delete()).await.done();
    let one = bound(&channel, "one", &x, &["key"]).await;
    let other = bound(&channel, "other", &x, &["key"]).await;

    channel.unbind(&one, &x, "key").await.done();
    channel.declare_exchange(&Exchange::new(&x, "direct").passive()).await.done();
    channel.delete(&other).await.done();

    channel.declare_exchange(&Exchange::new(&x, "direct").passive()).await.closes_channel(404, "NOT_FOUND");
}

async fn the_bindings_of_a_deleted_exchange_are_forgotten() {
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "fanout")).await.done();
    let q = bound(&channel, "q", &x, &[""]).await;

    channel.delete_exchange(&x, false).await.done();
    channel.declare_exchange(&Exchange::new(&x, "fanout")).await.done();
    channel.put_to(&x, "", "lost").await;

    assert_eq!(channel.get(&q).await.done(), None);
}

warren::stories! {
    on any broker:
        a_direct_exchange_routes_by_the_whole_key,
        a_fanout_exchange_ignores_the_key,
        a_topic_exchange_matches_words,
        the_default_exchange_routes_to_the_queue_of_that_name,
        nothing_can_be_bound_to_the_default_exchange,
        a_queue_gets_a_message_once_however_many_bindings_match,
        the_predeclared_exchanges_are_there,
        a_missing_exchange_is_not_found,
        an_exchange_can_be_declared_again_as_it_is,
        an_exchange_cannot_be_declared_again_as_another,
        names_that_begin_with_amq_are_the_brokers,
        the_default_exchange_can_be_neither_declared_nor_deleted,
        an_unknown_type_ends_the_connection,
        nobody_can_publish_to_an_internal_exchange,
        an_exchange_in_use_can_be_kept,
        to_delete_a_missing_exchange_is_no_error,
        an_auto_delete_exchange_goes_with_its_last_binding,
        the_bindings_of_a_deleted_exchange_are_forgotten;
}
