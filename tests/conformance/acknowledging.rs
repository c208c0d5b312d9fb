//! Acknowledging: what is done with, what comes again, and in which order.

use std::time::Duration;

use warren::harness::eventually;

use crate::support::{Answer, Channel, Queue, another_channel, channel, connection, named};

type Kind = fn(Queue) -> Queue;

const CLASSIC: Kind = |queue| queue;
const QUORUM: Kind = Queue::quorum;

async fn queue_with(kind: Kind, bodies: &[&str]) -> (Channel, String) {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&kind(Queue::named(&q))).await.done();
    channel.put_all(&q, bodies.iter().copied()).await;
    (channel, q)
}

/// Takes this many by a consumer, unacknowledged, and returns their tags.
async fn consume(channel: &Channel, queue: &str, count: usize) -> Vec<u64> {
    channel.consume(queue).await.done();
    channel.deliveries(count).await.iter().map(|delivery| delivery.tag).collect()
}

async fn an_acknowledged_message_does_not_come_again() {
    for kind in [CLASSIC, QUORUM] {
        let (channel, q) = queue_with(kind, &["one", "two"]).await;
        let other = another_channel(&channel).await;
        let tags = consume(&channel, &q, 2).await;

        channel.ack(tags[0]).await;
        channel.close().await.done();

        assert_eq!(other.take(&q).await.text(), "two");
        assert_eq!(other.get(&q).await.done(), None);
        other.delete(&q).await.done();
    }
}

async fn nothing_can_be_acknowledged_twice() {
    let (channel, q) = queue_with(CLASSIC, &["one"]).await;
    let tags = consume(&channel, &q, 1).await;

    channel.ack(tags[0]).await;
    channel.settle().await;
    channel.ack(tags[0]).await;

    channel.closed().await.closes_channel(406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

async fn an_unknown_delivery_cannot_be_answered() {
    for answer in ["ack", "nack", "reject"] {
        let channel = channel().await;

        match answer {
            "ack" => channel.ack(7).await,
            "nack" => channel.nack(7, true).await,
            _ => channel.reject(7, true).await,
        }

        channel.closed().await.closes_channel(406, "PRECONDITION_FAILED - unknown delivery tag 7");
    }
}

async fn a_delivery_is_answered_on_its_own_channel() {
    let (channel, q) = queue_with(CLASSIC, &["one"]).await;
    let other = another_channel(&channel).await;
    let tags = consume(&channel, &q, 1).await;

    other.ack(tags[0]).await;

    other.closed().await.closes_channel(406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

async fn many_can_be_acknowledged_at_once() {
    for kind in [CLASSIC, QUORUM] {
        let (channel, q) = queue_with(kind, &["one", "two", "three", "four"]).await;
        let other = another_channel(&channel).await;
        let tags = consume(&channel, &q, 4).await;

        channel.ack_up_to(tags[2]).await;
        channel.close().await.done();

        assert_eq!(other.take(&q).await.text(), "four");
        assert_eq!(other.get(&q).await.done(), None);
        other.delete(&q).await.done();
    }
}

async fn tag_zero_means_all() {
    let (channel, q) = queue_with(CLASSIC, &["one", "two"]).await;
    let other = another_channel(&channel).await;
    consume(&channel, &q, 2).await;

    channel.ack_up_to(0).await;
    channel.close().await.done();

    assert_eq!(other.get(&q).await.done(), None);
}

async fn what_was_acknowledged_with_others_cannot_be_again() {
    let (channel, q) = queue_with(CLASSIC, &["one", "two"]).await;
    let tags = consume(&channel, &q, 2).await;

    channel.ack_up_to(tags[1]).await;
    channel.ack(tags[0]).await;

    channel.closed().await.closes_channel(406, "PRECONDITION_FAILED - unknown delivery tag 1");
}

async fn a_requeued_message_comes_again_and_says_so() {
    for kind in [CLASSIC, QUORUM] {
        let (channel, q) = queue_with(kind, &["one"]).await;
        channel.consume(&q).await.done();

        let first = channel.delivery().await.done();
        channel.nack(first.tag, true).await;
        let second = channel.delivery().await.done();
        channel.reject(second.tag, true).await;
        let third = channel.delivery().await.done();

        assert_eq!([first.redelivered, second.redelivered, third.redelivered], [false, true, true]);
        assert_eq!([first.tag, second.tag, third.tag], [1, 2, 3]);
        assert_eq!(third.text(), "one");
        channel.delete(&q).await.done();
    }
}

async fn a_message_that_is_refused_is_gone() {
    for kind in [CLASSIC, QUORUM] {
        let (channel, q) = queue_with(kind, &["one", "two", "three"]).await;
        let other = another_channel(&channel).await;
        let tags = consume(&channel, &q, 3).await;

        channel.reject(tags[0], false).await;
        channel.nack(tags[1], false).await;
        channel.close().await.done();

        assert_eq!(other.take(&q).await.text(), "three");
        assert_eq!(other.get(&q).await.done(), None);
        other.delete(&q).await.done();
    }
}

async fn many_can_be_requeued_at_once() {
    let (channel, q) = queue_with(CLASSIC, &["one", "two", "three"]).await;
    let mut tags = Vec::new();
    for _ in 0..3 {
        tags.push(channel.get(&q).await.done().expect("it is there").tag);
    }

    channel.nack_up_to(tags[1], true).await;

    assert_eq!(channel.take_texts(&q, 2).await, ["one", "two"]);
    channel.ack(tags[2]).await;
    channel.settle().await;
    assert_eq!(channel.get(&q).await.done(), None);
}

async fn a_requeued_message_goes_back_to_its_place_in_a_classic_queue() {
    let (channel, q) = queue_with(CLASSIC, &["one", "two", "three", "four"]).await;
    let mut tags = Vec::new();
    for _ in 0..3 {
        tags.push(channel.get(&q).await.done().expect("it is there").tag);
    }

    for tag in [tags[2], tags[0], tags[1]] {
        channel.nack(tag, true).await;
    }

    let mut got = Vec::new();
    for _ in 0..4 {
        let message = channel.take(&q).await;
        got.push((message.text(), message.redelivered));
    }
    let expected = [("one", true), ("two", true), ("three", true), ("four", false)];
    assert_eq!(got, expected.map(|(text, redelivered)| (text.to_owned(), redelivered)));
}

async fn what_a_lost_consumer_had_comes_first_and_in_order() {
    for kind in [CLASSIC, QUORUM] {
        let (channel, q) = queue_with(kind, &["one", "two", "three", "four"]).await;
        let lost = connection().await.channel(1).await.done();
        lost.qos(3).await.done();
        consume(&lost, &q, 3).await;

        // Without a goodbye.
        drop(lost);
        channel.wait_ready(&q, 4).await;

        let mut got = Vec::new();
        for _ in 0..4 {
            let message = channel.take(&q).await;
            got.push((message.text(), message.redelivered));
        }
        let expected = [("one", true), ("two", true), ("three", true), ("four", false)];
        assert_eq!(got, expected.map(|(text, redelivered)| (text.to_owned(), redelivered)));
        channel.delete(&q).await.done();
    }
}

async fn another_consumer_gets_what_a_lost_one_had() {
    let (channel, q) = queue_with(CLASSIC, &["one"]).await;
    let lost = connection().await.channel(1).await.done();
    consume(&lost, &q, 1).await;
    channel.consume(&q).await.done();

    lost.connection().close().await.done();

    let delivery = channel.delivery().await.done();
    assert_eq!((delivery.text().as_str(), delivery.redelivered), ("one", true));
}

async fn a_channel_can_ask_for_its_messages_again() {
    let (channel, q) = queue_with(CLASSIC, &["one", "two"]).await;
    consume(&channel, &q, 2).await;

    channel.recover(true).await.done();

    let again = channel.deliveries(2).await;
    assert_eq!(
        again.iter().map(|each| (each.text(), each.redelivered)).collect::<Vec<_>>(),
        [("one".into(), true), ("two".into(), true)]
    );
    channel.ack(again[0].tag).await;
    channel.settle().await;
}

async fn a_message_cannot_be_recovered_to_the_same_consumer_only() {
    let channel = channel().await;

    channel.recover(false).await.closes_connection(540, "NOT_IMPLEMENTED");
}

async fn a_quorum_queue_counts_how_often_a_message_came() {
    let (channel, q) = queue_with(QUORUM, &["one"]).await;
    channel.consume(&q).await.done();

    let mut counts = Vec::new();
    for _ in 0..3 {
        let delivery = channel.delivery().await.done();
        counts.push(delivery.number("x-delivery-count"));
        channel.reject(delivery.tag, true).await;
    }

    assert_eq!(counts, [None, Some(1), Some(2)]);
}

async fn a_classic_queue_does_not_count() {
    let (channel, q) = queue_with(CLASSIC, &["one"]).await;
    channel.consume(&q).await.done();
    channel.nack(channel.delivery().await.done().tag, true).await;

    assert_eq!(channel.delivery().await.done().properties.headers(), &None);
}

async fn what_is_unacknowledged_is_not_lost_with_a_silent_connection() {
    let (channel, q) = queue_with(QUORUM, &["one"]).await;
    let lost = connection().await.channel(1).await.done();
    lost.get(&q).await.done().expect("it is there");

    drop(lost);

    eventually(Duration::from_secs(10), "the message is back", async || {
        channel.get(&q).await.done().map(|message| assert!(message.redelivered)).ok_or("not yet")
    })
    .await;
}

warren::stories! {
    on any broker:
        an_acknowledged_message_does_not_come_again,
        nothing_can_be_acknowledged_twice,
        an_unknown_delivery_cannot_be_answered,
        a_delivery_is_answered_on_its_own_channel,
        many_can_be_acknowledged_at_once,
        tag_zero_means_all,
        what_was_acknowledged_with_others_cannot_be_again,
        a_requeued_message_comes_again_and_says_so,
        a_message_that_is_refused_is_gone,
        many_can_be_requeued_at_once,
        a_requeued_message_goes_back_to_its_place_in_a_classic_queue,
        what_a_lost_consumer_had_comes_first_and_in_order,
        another_consumer_gets_what_a_lost_one_had,
        a_channel_can_ask_for_its_messages_again,
        a_message_cannot_be_recovered_to_the_same_consumer_only,
        a_quorum_queue_counts_how_often_a_message_came,
        a_classic_queue_does_not_count,
        what_is_unacknowledged_is_not_lost_with_a_silent_connection;
}
