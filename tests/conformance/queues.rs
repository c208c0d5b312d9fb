//! Queues: who may declare, see and delete them, and when they go by themselves.

use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, basic, queue};
use amq_protocol::types::AMQPValue;
use warren::harness::eventually;

use crate::support::{Answer, Channel, Closed, Exchange, Queue, another_channel, channel, named, text};

async fn a_nameless_queue_gets_a_name_of_its_own() {
    let channel = channel().await;

    let one = channel.declare(&Queue::nameless()).await.done().queue;
    let other = channel.declare(&Queue::nameless()).await.done().queue;

    assert!(one.as_str().starts_with("amq.gen-"), "{one}");
    assert_ne!(one, other);
    channel.put(one.as_str(), "for one").await;
    assert_eq!(channel.take(one.as_str()).await.text(), "for one");
}

async fn no_name_means_the_queue_declared_last() {
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "fanout")).await.done();
    let first = channel.declare(&Queue::nameless()).await.done().queue;
    channel.declare(&Queue::nameless()).await.done();

    channel.bind("", &x, "").await.done();
    channel.put_to(&x, "", "for the last").await;

    assert_eq!(channel.get("").await.done().expect("it is there").text(), "for the last");
    assert_eq!(channel.ask(first.as_str()).await.done().message_count, 0);
}

async fn no_name_means_nothing_where_none_was_declared() {
    let refused = channel().await.purge("").await;

    refused.map(drop).closes_channel(404, "NOT_FOUND - no previously declared queue");
}

async fn a_missing_queue_is_not_found() {
    channel().await;
    let q = named("q");
    let text = format!("NOT_FOUND - no queue '{q}' in vhost ");

    channel().await.ask(&q).await.map(drop).closes_channel(404, &text);
    channel().await.purge(&q).await.map(drop).closes_channel(404, &text);
    channel().await.get(&q).await.map(drop).closes_channel(404, &text);
    channel().await.consume(&q).await.map(drop).closes_channel(404, &text);
}

async fn to_delete_a_missing_queue_is_no_error() {
    let channel = channel().await;

    assert_eq!(channel.delete(&named("missing")).await.done(), 0);
}

async fn declaring_a_queue_counts_its_messages_and_consumers() {
    let channel = channel().await;
    let other = another_channel(&channel).await;
    let q = named("q");
    let new = channel.declare(&Queue::named(&q)).await.done();
    assert_eq!((new.queue.as_str(), new.message_count, new.consumer_count), (q.as_str(), 0, 0));

    channel.put_all(&q, ["one", "two", "three"]).await;
    channel.get(&q).await.done().expect("it is there");
    other.qos(1).await.done();
    other.consume(&q).await.done();
    other.delivery().await.done();

    let used = channel.declare(&Queue::named(&q)).await.done();
    assert_eq!((used.message_count, used.consumer_count), (1, 1));
    let seen = channel.ask(&q).await.done();
    assert_eq!((seen.message_count, seen.consumer_count), (1, 1));
}

async fn a_queue_cannot_be_declared_again_as_another() {
    let first = channel().await;
    let q = named("q");
    first.declare(&Queue::named(&q).number("x-max-length", 5)).await.done();

    for (other, what) in [
        (Queue::named(&q), "x-max-length"),
        (Queue::named(&q).number("x-max-length", 6), "x-max-length"),
        (Queue::named(&q).number("x-max-length", 5).transient(), "durable"),
        (Queue::named(&q).number("x-max-length", 5).auto_delete(), "auto_delete"),
        (Queue::named(&q).number("x-max-length", 5).number("x-message-ttl", 5), "x-message-ttl"),
        (Queue::named(&q).number("x-max-length", 5).quorum(), "x-queue-type"),
    ] {
        let refused = channel().await.declare(&other).await.map(drop);
        refused.closes_channel(
            406,
            &format!("PRECONDITION_FAILED - inequivalent arg '{what}' for queue '{q}' in vhost "),
        );
    }
    first.declare(&Queue::named(&q).number("x-max-length", 5)).await.done();
}

async fn a_number_is_the_same_in_every_size() {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&Queue::named(&q).number("x-max-length", 5)).await.done();

    for same in [AMQPValue::LongInt(5), AMQPValue::ShortInt(5), AMQPValue::ShortShortInt(5)] {
        channel.declare(&Queue::named(&q).with("x-max-length", same)).await.done();
    }
}

async fn arguments_are_checked() {
    channel().await;
    let q = named("q");

    for (argument, value) in [
        ("x-message-ttl", AMQPValue::LongLongInt(-1)),
        ("x-message-ttl", text("soon")),
        ("x-expires", AMQPValue::LongLongInt(0)),
        ("x-max-length", AMQPValue::LongLongInt(-1)),
        ("x-max-length", text("many")),
        ("x-max-length-bytes", AMQPValue::LongLongInt(-1)),
        ("x-overflow", text("explode")),
        ("x-queue-type", text("magic")),
        ("x-dead-letter-exchange", AMQPValue::LongLongInt(1)),
        ("x-dead-letter-routing-key", text("a key without its exchange")),
    ] {
        let refused = channel().await.declare(&Queue::named(&q).with(argument, value.clone())).await;
        let refused = refused
            .map(|_| panic!("{argument} was taken: {value:?}"))
            .unwrap_or_else(|closed: Closed| closed);
        refused.closes_channel(406, "PRECONDITION_FAILED");
    }
}

async fn a_quorum_queue_is_durable_and_everybodys() {
    channel().await;
    let q = named("q");

    for other in [
        Queue::named(&q).quorum().transient(),
        Queue::named(&q).quorum().exclusive(),
        Queue::named(&q).quorum().auto_delete(),
    ] {
        let refused = channel().await.declare(&other).await.map(drop);
        refused.closes_channel(406, "PRECONDITION_FAILED");
    }
}

async fn names_that_begin_with_amq_are_the_brokers() {
    let refused = channel().await.declare(&Queue::named("amq.mine")).await.map(drop);

    refused.closes_channel(403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'");
}

async fn an_exclusive_queue_is_locked_for_other_connections() {
    let owner = channel().await;
    let q = named("q");
    owner.declare(&Queue::named(&q).transient().exclusive()).await.done();
    let text = format!("RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '{q}' in vhost ");

    let declared = channel().await.declare(&Queue::named(&q).transient().exclusive()).await;
    declared.map(drop).closes_channel(405, &text);
    channel().await.ask(&q).await.map(drop).closes_channel(405, &text);
    channel().await.consume(&q).await.map(drop).closes_channel(405, &text);
    channel().await.get(&q).await.map(drop).closes_channel(405, &text);
    channel().await.purge(&q).await.map(drop).closes_channel(405, &text);
    channel().await.delete(&q).await.map(drop).closes_channel(405, &text);
    channel().await.bind(&q, "amq.direct", "key").await.closes_channel(405, &text);

    another_channel(&owner).await.consume(&q).await.done();
}

async fn anybody_can_publish_to_an_exclusive_queue() {
    let owner = channel().await;
    let q = named("q");
    owner.declare(&Queue::named(&q).transient().exclusive()).await.done();

    channel().await.put(&q, "from another connection").await;

    assert_eq!(owner.take(&q).await.text(), "from another connection");
}

async fn an_exclusive_queue_goes_with_its_connection() {
    let (owner, other) = (channel().await, channel().await);
    let q = named("q");
    owner.declare(&Queue::named(&q).transient().exclusive()).await.done();

    owner.connection().close().await.done();

    is_gone(&other, &q).await;
}

async fn an_auto_delete_queue_goes_with_its_last_consumer() {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&Queue::named(&q).transient().auto_delete()).await.done();
    assert_eq!(channel.ask(&q).await.done().consumer_count, 0, "it waits for its first consumer");

    let one = channel.consume(&q).await.done();
    let other = channel.consume(&q).await.done();
    channel.cancel(&one).await.done();
    assert_eq!(channel.ask(&q).await.done().consumer_count, 1);
    channel.cancel(&other).await.done();

    is_gone(&another_channel(&channel).await, &q).await;
}

async fn an_auto_delete_queue_goes_with_the_channel_of_its_consumer() {
    let (consumer, other) = (channel().await, channel().await);
    let q = named("q");
    consumer.declare(&Queue::named(&q).transient().auto_delete()).await.done();
    consumer.consume(&q).await.done();

    consumer.close().await.done();

    is_gone(&other, &q).await;
}

/// Asks on a channel of its own each time, since a queue that is gone closes the one that asks.
async fn is_gone(beside: &Channel, queue: &str) {
    eventually(Duration::from_secs(10), &format!("{queue} is gone"), async || {
        let asking = another_channel(beside).await;
        match asking.ask(queue).await {
            Err(Closed { code: 404, .. }) => Ok(()),
            other => {
                asking.close().await.done();
                Err(format!("{other:?}"))
            }
        }
    })
    .await;
}

async fn a_purge_takes_what_waits_and_leaves_what_was_delivered() {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&Queue::named(&q)).await.done();
    channel.put_all(&q, ["delivered", "waits", "waits too"]).await;
    let delivered = channel.get(&q).await.done().expect("it is there");

    assert_eq!(channel.purge(&q).await.done(), 2);

    assert_eq!(channel.get(&q).await.done(), None);
    channel.nack(delivered.tag, true).await;
    assert_eq!(channel.take(&q).await.text(), "delivered");
}

async fn a_deleted_queue_says_how_many_messages_went() {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&Queue::named(&q)).await.done();
    channel.put_all(&q, ["one", "two"]).await;

    assert_eq!(channel.delete(&q).await.done(), 2);

    channel.declare(&Queue::named(&q)).await.done();
    assert_eq!(channel.get(&q).await.done(), None);
}

async fn a_queue_with_messages_can_be_kept() {
    let first = channel().await;
    let q = named("q");
    first.declare(&Queue::named(&q)).await.done();
    first.put(&q, "kept").await;
    let if_empty = queue::Delete { queue: q.as_str().into(), if_empty: true, ..Default::default() };

    let refused = channel().await.delete_if(if_empty.clone()).await.map(drop);
    refused.closes_channel(406, &format!("PRECONDITION_FAILED - queue '{q}' in vhost "));

    assert_eq!(first.take(&q).await.text(), "kept");
    assert_eq!(first.delete_if(if_empty).await.done(), 0);
}

async fn a_queue_with_consumers_can_be_kept() {
    let first = channel().await;
    let q = named("q");
    first.declare(&Queue::named(&q)).await.done();
    let consumer = first.consume(&q).await.done();
    let if_unused = queue::Delete { queue: q.as_str().into(), if_unused: true, ..Default::default() };

    let refused = channel().await.delete_if(if_unused.clone()).await.map(drop);
    refused.closes_channel(406, &format!("PRECONDITION_FAILED - queue '{q}' in vhost "));

    first.cancel(&consumer).await.done();
    assert_eq!(first.delete_if(if_unused).await.done(), 0);
}

async fn a_quorum_queue_is_deleted_without_conditions() {
    let first = channel().await;
    let q = named("q");
    first.declare(&Queue::named(&q).quorum()).await.done();
    let delete = queue::Delete { queue: q.as_str().into(), ..Default::default() };

    for (conditions, named_first) in [
        (queue::Delete { if_unused: true, ..delete.clone() }, "if-unused"),
        (queue::Delete { if_empty: true, ..delete.clone() }, "if-empty"),
        (queue::Delete { if_unused: true, if_empty: true, ..delete.clone() }, "if-unused"),
    ] {
        let refused = channel().await.delete_if(conditions).await.map(drop);
        let text =
            format!("queue.delete operations with {named_first} flag set are not supported by quorum queues");
        refused.closes_connection(540, &text);
    }

    assert_eq!(first.delete_if(delete).await.done(), 0);
}

async fn who_does_not_wait_gets_no_answer() {
    let channel = channel().await;
    let q = named("q");
    let name = || q.as_str().into();

    let declare = queue::Declare { queue: name(), durable: true, nowait: true, ..Default::default() };
    channel.say(queue::AMQPMethod::Declare(declare)).await;
    let bind = queue::Bind {
        queue: name(),
        exchange: "amq.direct".into(),
        routing_key: name(),
        nowait: true,
        ..Default::default()
    };
    channel.say(queue::AMQPMethod::Bind(bind)).await;
    let consume =
        basic::Consume { queue: name(), consumer_tag: "tag".into(), nowait: true, ..Default::default() };
    channel.say(basic::AMQPMethod::Consume(consume)).await;
    channel.publish("amq.direct", &q, "it was all done").await;

    let first = channel.next().await.done();
    assert!(matches!(first.method, AMQPClass::Basic(basic::AMQPMethod::Deliver(_))), "{first:?}");
    assert_eq!(first.body, b"it was all done");
}

async fn a_queue_can_have_a_long_name_of_any_letters() {
    let channel = channel().await;
    let q = named(&format!("ä ö/ü.*#{}", "x".repeat(180)));

    channel.declare(&Queue::named(&q)).await.done();
    channel.put(&q, "found").await;

    assert_eq!(channel.take(&q).await.routing_key, q);
}

warren::stories! {
    on any broker:
        a_nameless_queue_gets_a_name_of_its_own,
        no_name_means_the_queue_declared_last,
        no_name_means_nothing_where_none_was_declared,
        a_missing_queue_is_not_found,
        to_delete_a_missing_queue_is_no_error,
        declaring_a_queue_counts_its_messages_and_consumers,
        a_queue_cannot_be_declared_again_as_another,
        a_number_is_the_same_in_every_size,
        arguments_are_checked,
        a_quorum_queue_is_durable_and_everybodys,
        names_that_begin_with_amq_are_the_brokers,
        an_exclusive_queue_is_locked_for_other_connections,
        anybody_can_publish_to_an_exclusive_queue,
        an_exclusive_queue_goes_with_its_connection,
        an_auto_delete_queue_goes_with_its_last_consumer,
        an_auto_delete_queue_goes_with_the_channel_of_its_consumer,
        a_purge_takes_what_waits_and_leaves_what_was_delivered,
        a_deleted_queue_says_how_many_messages_went,
        a_queue_with_messages_can_be_kept,
        a_queue_with_consumers_can_be_kept,
        a_quorum_queue_is_deleted_without_conditions,
        who_does_not_wait_gets_no_answer,
        a_queue_can_have_a_long_name_of_any_letters;
}
