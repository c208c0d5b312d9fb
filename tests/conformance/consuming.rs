//! Consuming: what is delivered to whom, how much of it, and how it ends.

use amq_protocol::protocol::{AMQPClass, basic};

use crate::support::{Answer, Channel, Queue, another_channel, channel, named, table, text};

/// A channel and a durable queue of this kind, with these messages.
async fn with(declare: impl Fn(Queue) -> Queue, bodies: &[&str]) -> (Channel, String) {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&declare(Queue::named(&q))).await.done();
    channel.put_all(&q, bodies.iter().copied()).await;
    (channel, q)
}

async fn queue_with(bodies: &[&str]) -> (Channel, String) {
    with(|queue| queue, bodies).await
}

async fn texts(channel: &Channel, count: usize) -> Vec<String> {
    channel.deliveries(count).await.iter().map(|delivery| delivery.text()).collect()
}

async fn a_consumer_gets_what_waits_and_what_comes_in_order() {
    let (channel, q) = queue_with(&["one", "two"]).await;

    channel.consume(&q).await.done();
    channel.put(&q, "three").await;

    assert_eq!(texts(&channel, 3).await, ["one", "two", "three"]);
}

async fn a_delivery_says_where_it_comes_from() {
    let (channel, q) = queue_with(&[]).await;
    channel.bind(&q, "amq.topic", "a.b").await.done();
    let consume =
        basic::Consume { queue: q.as_str().into(), consumer_tag: "me".into(), ..Default::default() };
    assert_eq!(channel.consume_as(consume).await.done(), "me");

    channel.put_to("amq.topic", "a.b", "body").await;

    let delivery = channel.delivery().await.done();
    assert_eq!((delivery.consumer.as_str(), delivery.tag, delivery.redelivered), ("me", 1, false));
    assert_eq!((delivery.exchange.as_str(), delivery.routing_key.as_str()), ("amq.topic", "a.b"));
    assert_eq!(delivery.text(), "body");
}

async fn delivery_tags_count_all_deliveries_of_a_channel() {
    let (channel, q) = queue_with(&["one", "two", "three"]).await;

    assert_eq!(channel.get(&q).await.done().map(|got| got.tag), Some(1));
    channel.consume(&q).await.done();
    assert_eq!(channel.deliveries(2).await.iter().map(|delivery| delivery.tag).collect::<Vec<_>>(), [2, 3]);

    let other = another_channel(&channel).await;
    other.put(&q, "four").await;
    channel.ack(channel.delivery().await.done().tag).await;
    channel.settle().await;
    other.put(&q, "five").await;
    assert_eq!(channel.delivery().await.done().tag, 5);
}

async fn a_consumer_without_a_tag_gets_one() {
    let (channel, q) = queue_with(&[]).await;

    let one = channel.consume(&q).await.done();
    let other = channel.consume(&q).await.done();

    assert!(one.starts_with("amq.ctag-"), "{one}");
    assert_ne!(one, other);
}

async fn prefetch_bounds_what_is_unacknowledged() {
    prefetch_is_kept(|queue| queue).await;
}

async fn prefetch_bounds_what_is_unacknowledged_of_a_quorum_queue() {
    prefetch_is_kept(Queue::quorum).await;
}

async fn prefetch_is_kept(declare: impl Fn(Queue) -> Queue) {
    let (channel, q) = with(declare, &["1", "2", "3", "4", "5"]).await;
    let other = another_channel(&channel).await;

    channel.qos(2).await.done();
    channel.consume(&q).await.done();
    let first = channel.deliveries(2).await;
    other.wait_ready(&q, 3).await;

    channel.ack(first[1].tag).await;
    assert_eq!(channel.delivery().await.done().text(), "3");
    other.wait_ready(&q, 2).await;

    channel.ack_up_to(3).await;
    assert_eq!(texts(&channel, 2).await, ["4", "5"]);
    other.wait_ready(&q, 0).await;
}

async fn prefetch_is_each_consumers_own() {
    let (channel, q) = queue_with(&["1", "2", "3", "4", "5"]).await;
    let other = another_channel(&channel).await;

    channel.qos(1).await.done();
    let one = channel.consume(&q).await.done();
    channel.qos(2).await.done();
    let two = channel.consume(&q).await.done();

    let deliveries = channel.deliveries(3).await;
    let of = |consumer: &str| deliveries.iter().filter(|delivery| delivery.consumer == consumer).count();
    assert_eq!((of(&one), of(&two)), (1, 2));
    other.wait_ready(&q, 2).await;
}

async fn a_global_prefetch_is_shared_by_the_channels_consumers() {
    let (channel, q) = queue_with(&["1", "2", "3", "4", "5"]).await;
    let other = another_channel(&channel).await;

    let qos = basic::Qos { prefetch_count: 3, global: true };
    channel.call(basic::AMQPMethod::Qos(qos)).await.done();
    channel.consume(&q).await.done();
    channel.consume(&q).await.done();

    let first = channel.deliveries(3).await;
    other.wait_ready(&q, 2).await;
    channel.ack(first[0].tag).await;
    channel.delivery().await.done();
    other.wait_ready(&q, 1).await;
}

async fn a_shared_prefetch_is_nothing_for_quorum_queues() {
    let (channel, q) = with(Queue::quorum, &[]).await;
    let limit = |prefetch_count| basic::AMQPMethod::Qos(basic::Qos { prefetch_count, global: true });

    channel.consume(&q).await.done();
    channel.call(limit(3)).await.done();
    channel.call(limit(0)).await.done();
    channel.consume(&q).await.done();
    channel.call(limit(3)).await.done();
    assert_eq!(channel.get(&q).await.done(), None);

    let text = format!("NOT_IMPLEMENTED - queue '{q}' in vhost ");
    let refused = channel.consume(&q).await.map(drop);
    assert!(matches!(&refused, Err(closed) if closed.text.ends_with("' does not support global qos")));
    refused.closes_connection(540, &text);
}

async fn prefetch_is_not_counted_in_bytes() {
    let channel = channel().await;

    // Basic.Qos with a prefetch-size of 100, which no client library of Rust can say.
    channel.connection().send_bytes(b"\x01\0\x01\0\0\0\x0b\0\x3c\0\x0a\0\0\0\x64\0\0\0\xce").await;

    let refused = channel.closed().await;
    assert_eq!(refused.method, (60, 10));
    refused.closes_connection(540, "NOT_IMPLEMENTED - prefetch_size!=0 (100)");
}

async fn arguments_of_consumers_are_checked() {
    for (declare, argument, value, why) in [
        (Queue::quorum as fn(Queue) -> Queue, "x-priority", "high", "expected integer, got longstr"),
        (|queue| queue, "x-priority", "high", "expected integer, got longstr"),
        (|queue| queue, "x-stream-offset", "first", " of queue type rabbit_classic_queue"),
        (Queue::quorum, "x-stream-offset", "first", " of queue type rabbit_quorum_queue"),
    ] {
        let (channel, q) = with(declare, &[]).await;
        let arguments = table([(argument, text(value))]);

        let consume = basic::Consume { queue: q.as_str().into(), arguments, ..Default::default() };
        let refused = channel.consume_as(consume).await.map(drop);

        assert!(matches!(&refused, Err(closed) if closed.text.contains(why)), "{refused:?}");
        refused
            .closes_channel(406, &format!("PRECONDITION_FAILED - invalid arg '{argument}' for queue '{q}'"));
        channel.connection().channel(channel.id()).await.done().delete(&q).await.done();
    }
}

async fn a_get_is_not_bounded_by_prefetch() {
    let (channel, q) = queue_with(&["1", "2"]).await;
    channel.qos(1).await.done();

    assert!(channel.get(&q).await.done().is_some());
    assert!(channel.get(&q).await.done().is_some());
}

async fn consumers_take_turns() {
    let (channel, q) = queue_with(&[]).await;
    let other = another_channel(&channel).await;
    channel.consume(&q).await.done();
    other.consume(&q).await.done();

    for number in ["1", "2", "3", "4", "5", "6"] {
        channel.put(&q, number).await;
    }

    let (mut one, mut two) = (texts(&channel, 3).await, texts(&other, 3).await);
    one.sort();
    two.sort();
    let mut both = [one.clone(), two.clone()];
    both.sort();
    assert_eq!(both, [["1", "3", "5"], ["2", "4", "6"]]);
}

async fn a_consumer_that_is_full_is_passed_over() {
    let (channel, q) = queue_with(&[]).await;
    let other = another_channel(&channel).await;
    channel.qos(1).await.done();
    channel.consume(&q).await.done();
    channel.put(&q, "first").await;
    assert_eq!(texts(&channel, 1).await, ["first"]);
    other.consume(&q).await.done();

    channel.put_all(&q, ["second", "third"]).await;

    assert_eq!(texts(&other, 2).await, ["second", "third"]);
}

async fn what_is_delivered_without_acknowledgement_is_gone() {
    let (channel, q) = queue_with(&["one", "two"]).await;
    let other = another_channel(&channel).await;

    let consume = basic::Consume { queue: q.as_str().into(), no_ack: true, ..Default::default() };
    channel.consume_as(consume).await.done();
    assert_eq!(texts(&channel, 2).await, ["one", "two"]);
    channel.close().await.done();

    assert_eq!(other.get(&q).await.done(), None);
    assert_eq!(other.delete(&q).await.done(), 0);
}

async fn what_is_delivered_without_acknowledgement_cannot_be_acknowledged() {
    let (channel, q) = queue_with(&["one"]).await;
    let consume = basic::Consume { queue: q.as_str().into(), no_ack: true, ..Default::default() };
    channel.consume_as(consume).await.done();

    channel.ack(channel.delivery().await.done().tag).await;

    channel.closed().await.closes_channel(406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

async fn a_cancelled_consumer_gets_no_more() {
    let (channel, q) = queue_with(&["one"]).await;
    let consumer = channel.consume(&q).await.done();
    let one = channel.delivery().await.done();

    channel.cancel(&consumer).await.done();
    channel.put(&q, "two").await;

    assert_eq!(channel.ask(&q).await.done().consumer_count, 0);
    assert_eq!(channel.take(&q).await.text(), "two");
    channel.ack(one.tag).await;
    channel.settle().await;
}

async fn to_cancel_an_unknown_consumer_is_no_error() {
    let channel = channel().await;

    channel.cancel("nobody").await.done();
}

async fn a_tag_can_be_used_again_once_it_is_cancelled() {
    let (channel, q) = queue_with(&["one"]).await;
    let consume =
        basic::Consume { queue: q.as_str().into(), consumer_tag: "me".into(), ..Default::default() };
    channel.consume_as(consume.clone()).await.done();
    channel.cancel("me").await.done();

    channel.consume_as(consume).await.done();

    channel.settle().await;
}

async fn a_tag_cannot_be_used_twice_on_a_channel() {
    let (channel, q) = queue_with(&[]).await;
    let consume =
        basic::Consume { queue: q.as_str().into(), consumer_tag: "me".into(), ..Default::default() };
    channel.consume_as(consume.clone()).await.done();
    another_channel(&channel).await.consume_as(consume.clone()).await.done();

    let refused = channel.consume_as(consume).await.map(drop);

    refused.closes_connection(530, "NOT_ALLOWED - attempt to reuse consumer tag 'me'");
}

async fn consumers_are_told_when_their_queue_is_deleted() {
    told_of_the_end(|queue| queue).await;
}

async fn consumers_are_told_when_their_quorum_queue_is_deleted() {
    told_of_the_end(Queue::quorum).await;
}

async fn told_of_the_end(declare: impl Fn(Queue) -> Queue) {
    let (channel, q) = with(declare, &[]).await;
    let consumer = channel.consume(&q).await.done();

    another_channel(&channel).await.delete(&q).await.done();

    match channel.next().await.done().method {
        AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => {
            assert_eq!((cancel.consumer_tag.as_str(), cancel.nowait), (consumer.as_str(), true));
        }
        other => panic!("{other:?} instead of Basic.Cancel"),
    }
    channel.settle().await;
}

async fn an_exclusive_consumer_is_the_only_one() {
    let (channel, q) = queue_with(&[]).await;
    let alone = basic::Consume { queue: q.as_str().into(), exclusive: true, ..Default::default() };
    let consumer = channel.consume_as(alone.clone()).await.done();
    let text = format!("ACCESS_REFUSED - queue '{q}' in vhost ");

    another_channel(&channel).await.consume(&q).await.map(drop).closes_channel(403, &text);

    channel.cancel(&consumer).await.done();
    channel.consume(&q).await.done();
    another_channel(&channel).await.consume_as(alone).await.map(drop).closes_channel(403, &text);
}

async fn an_exclusive_consumer_of_a_quorum_queue_is_one_of_many() {
    let (channel, q) = with(Queue::quorum, &[]).await;
    let exclusive = || basic::Consume { queue: q.as_str().into(), exclusive: true, ..Default::default() };

    channel.consume_as(exclusive()).await.done();
    channel.consume(&q).await.done();
    channel.consume_as(exclusive()).await.done();

    another_channel(&channel).await.settle().await;
}

async fn a_tag_in_use_is_noticed_before_a_missing_queue() {
    let (channel, q) = queue_with(&[]).await;
    let tagged = |queue: &str| basic::Consume {
        queue: queue.into(),
        consumer_tag: "tag".into(),
        ..Default::default()
    };
    channel.consume_as(tagged(&q)).await.done();

    let again = channel.consume_as(tagged(&named("missing"))).await;

    again.map(drop).closes_connection(530, "NOT_ALLOWED - attempt to reuse consumer tag 'tag'");
}

async fn a_get_says_how_many_are_left() {
    let (channel, q) = queue_with(&["one", "two", "three"]).await;

    let mut got = Vec::new();
    for _ in 0..3 {
        let message = channel.get(&q).await.done().expect("it is there");
        got.push((message.text(), message.left.expect("a get says so"), message.redelivered));
    }

    assert_eq!(got, [("one".into(), 2, false), ("two".into(), 1, false), ("three".into(), 0, false)]);
    assert_eq!(channel.get(&q).await.done(), None);
}

async fn what_is_got_without_acknowledgement_is_gone() {
    let (channel, q) = queue_with(&["one"]).await;
    let other = another_channel(&channel).await;

    let get = basic::Get { queue: q.as_str().into(), no_ack: true };
    assert_eq!(channel.get_as(get).await.done().expect("it is there").text(), "one");
    channel.close().await.done();

    assert_eq!(other.get(&q).await.done(), None);
}

async fn one_channel_can_consume_several_queues() {
    let (channel, q) = queue_with(&["one"]).await;
    let other = named("other");
    channel.declare(&Queue::named(&other)).await.done();
    channel.put(&other, "two").await;

    let (a, b) = (channel.consume(&q).await.done(), channel.consume(&other).await.done());

    let mut got: Vec<_> =
        channel.deliveries(2).await.into_iter().map(|each| (each.text(), each.consumer)).collect();
    got.sort();
    assert_eq!(got, [("one".into(), a), ("two".into(), b)]);
}

warren::stories! {
    on any broker:
        a_consumer_gets_what_waits_and_what_comes_in_order,
        a_delivery_says_where_it_comes_from,
        delivery_tags_count_all_deliveries_of_a_channel,
        a_consumer_without_a_tag_gets_one,
        prefetch_bounds_what_is_unacknowledged,
        prefetch_bounds_what_is_unacknowledged_of_a_quorum_queue,
        prefetch_is_each_consumers_own,
        a_global_prefetch_is_shared_by_the_channels_consumers,
        a_shared_prefetch_is_nothing_for_quorum_queues,
        prefetch_is_not_counted_in_bytes,
        arguments_of_consumers_are_checked,
        a_get_is_not_bounded_by_prefetch,
        consumers_take_turns,
        a_consumer_that_is_full_is_passed_over,
        what_is_delivered_without_acknowledgement_is_gone,
        what_is_delivered_without_acknowledgement_cannot_be_acknowledged,
        a_cancelled_consumer_gets_no_more,
        to_cancel_an_unknown_consumer_is_no_error,
        a_tag_can_be_used_again_once_it_is_cancelled,
        a_tag_cannot_be_used_twice_on_a_channel,
        consumers_are_told_when_their_queue_is_deleted,
        consumers_are_told_when_their_quorum_queue_is_deleted,
        an_exclusive_consumer_is_the_only_one,
        an_exclusive_consumer_of_a_quorum_queue_is_one_of_many,
        a_tag_in_use_is_noticed_before_a_missing_queue,
        a_get_says_how_many_are_left,
        what_is_got_without_acknowledgement_is_gone,
        one_channel_can_consume_several_queues;
}
