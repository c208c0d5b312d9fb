//! Limits: of length, of bytes, of time, of deliveries.

use std::time::Duration;

use warren::harness::eventually;

use crate::support::{
    Answer, Channel, Closed, Confirm, Message, Queue, another_channel, channel, deaths, named,
};

async fn queue(declare: impl Fn(Queue) -> Queue) -> (Channel, String) {
    let channel = channel().await;
    let q = named("q");
    channel.declare(&declare(Queue::named(&q))).await.done();
    (channel, q)
}

async fn a_full_queue_drops_its_oldest_message() {
    for declare in [|queue: Queue| queue, Queue::quorum] {
        let (channel, q) = queue(|queue| declare(queue).number("x-max-length", 2)).await;

        channel.put_all(&q, ["one", "two", "three", "four"]).await;

        channel.wait_ready(&q, 2).await;
        assert_eq!(channel.take_texts(&q, 2).await, ["three", "four"]);
        channel.delete(&q).await.done();
    }
}

async fn what_was_delivered_does_not_count_for_the_length() {
    let (channel, q) = queue(|queue| queue.number("x-max-length", 1)).await;
    channel.put(&q, "one").await;
    let one = channel.get(&q).await.done().expect("it is there");

    channel.put(&q, "two").await;

    assert_eq!(channel.get(&q).await.done().expect("it is there").text(), "two");
    channel.ack(one.tag).await;
    channel.settle().await;
}

async fn a_full_queue_can_refuse_new_messages() {
    let (channel, q) =
        queue(|queue| queue.number("x-max-length", 2).text("x-overflow", "reject-publish")).await;

    assert!(channel.put(&q, "one").await && channel.put(&q, "two").await);
    assert!(!channel.put(&q, "three").await, "it is full");

    assert_eq!(channel.take(&q).await.text(), "one");
    assert!(channel.put(&q, "four").await, "it has room again");
    assert_eq!(channel.take_texts(&q, 2).await, ["two", "four"]);
}

async fn a_full_quorum_queue_can_refuse_new_messages() {
    let (channel, q) =
        queue(|queue| queue.quorum().number("x-max-length", 2).text("x-overflow", "reject-publish")).await;

    // It may take a few more than its limit before it says no.
    eventually(Duration::from_secs(10), "it is full", async || {
        if channel.put(&q, "more").await { Err("it took another one") } else { Ok(()) }
    })
    .await;
    let full = channel.ask(&q).await.done().message_count;
    assert!(full >= 2, "it took {full}");

    channel.purge(&q).await.done();
    eventually(Duration::from_secs(10), "it has room again", async || {
        if channel.put(&q, "after").await { Ok(()) } else { Err("it refused") }
    })
    .await;
    assert_eq!(channel.take(&q).await.text(), "after");
}

async fn a_refused_message_is_gone_from_the_full_queue_alone() {
    let (channel, full) =
        queue(|queue| queue.number("x-max-length", 0).text("x-overflow", "reject-publish")).await;
    let other = named("other");
    channel.declare(&Queue::named(&other)).await.done();
    for q in [&full, &other] {
        channel.bind(q, "amq.direct", &other).await.done();
    }
    channel.confirm_select().await.done();

    channel.publish("amq.direct", &other, "half refused").await;

    let confirm = channel.confirm().await.done();
    assert!(matches!(confirm, Confirm::Nack { tag: 1, .. }), "{confirm:?}");
    assert_eq!(channel.take(&other).await.text(), "half refused");
    assert_eq!(channel.get(&full).await.done(), None);
}

async fn a_queue_can_be_limited_in_bytes() {
    let (channel, q) = queue(|queue| queue.number("x-max-length-bytes", 100)).await;

    for letter in ["a", "b", "c"] {
        channel.put(&q, letter.repeat(40).as_str()).await;
    }

    assert_eq!(channel.take_texts(&q, 2).await, ["b".repeat(40), "c".repeat(40)]);
    assert_eq!(channel.get(&q).await.done(), None);
}

async fn a_queue_can_refuse_bytes() {
    let (channel, q) =
        queue(|queue| queue.number("x-max-length-bytes", 50).text("x-overflow", "reject-publish")).await;

    assert!(channel.put(&q, "a".repeat(40).as_str()).await);
    assert!(!channel.put(&q, "b".repeat(20).as_str()).await, "there is not room enough");
    assert!(channel.put(&q, "c".repeat(10).as_str()).await, "there is room enough for a small one");

    assert_eq!(channel.take_texts(&q, 2).await, ["a".repeat(40), "c".repeat(10)]);
}

async fn an_unused_queue_expires() {
    for declare in [|queue: Queue| queue, Queue::quorum] {
        let (channel, q) = queue(|queue| declare(queue).number("x-expires", 50)).await;

        // To ask would be to use it, so this takes a channel only now and then.
        eventually(Duration::from_secs(10), "the queue is gone", async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let asking = another_channel(&channel).await;
            match asking.ask(&q).await {
                Err(Closed { code: 404, .. }) => Ok(()),
                other => {
                    asking.close().await.done();
                    Err(format!("{other:?}"))
                }
            }
        })
        .await;
    }
}

async fn a_queue_with_a_consumer_does_not_expire() {
    let (channel, q) = queue(|queue| queue.number("x-expires", 600)).await; // time to consume
    channel.consume(&q).await.done();
    let (other, later) = (another_channel(&channel).await, named("later"));
    other.declare(&Queue::named(&later).number("x-expires", 700)).await.done();

    // The time of another queue is over by now, so its own would be too.
    eventually(Duration::from_secs(10), "the other queue is gone", async || {
        tokio::time::sleep(Duration::from_millis(1_000)).await;
        let asking = other.connection().channel(9).await.done();
        match asking.ask(&later).await {
            Err(Closed { code: 404, .. }) => Ok(()),
            other => {
                asking.close().await.done();
                Err(format!("{other:?}"))
            }
        }
    })
    .await;

    other.put(&q, "still there").await;
    assert_eq!(channel.delivery().await.done().text(), "still there");
}

async fn messages_expire_after_the_time_of_their_queue() {
    for declare in [|queue: Queue| queue, Queue::quorum] {
        let (channel, q) = queue(|queue| declare(queue).number("x-message-ttl", 50)).await;

        channel.put_all(&q, ["one", "two"]).await;

        channel.wait_ready(&q, 0).await;
        assert_eq!(channel.get(&q).await.done(), None);
        channel.delete(&q).await.done();
    }
}

async fn a_message_can_expire_by_itself() {
    for declare in [|queue: Queue| queue, Queue::quorum] {
        let (channel, q) = queue(declare).await;

        channel.put(&q, Message::new("gone").expires_after("50")).await;
        channel.put(&q, Message::new("stays").expires_after("600000")).await;

        channel.wait_ready(&q, 1).await;
        let stays = channel.take(&q).await;
        assert_eq!(
            (stays.text().as_str(), stays.properties.expiration().as_ref().map(|text| text.as_str())),
            ("stays", Some("600000"))
        );
        channel.delete(&q).await.done();
    }
}

async fn the_shorter_of_two_times_holds() {
    let (channel, q) = queue(|queue| queue.number("x-message-ttl", 600_000)).await;
    channel.put(&q, Message::new("by itself").expires_after("50")).await;
    channel.wait_ready(&q, 0).await;

    let (channel, other) = (channel, named("other"));
    channel.declare(&Queue::named(&other).number("x-message-ttl", 50)).await.done();
    channel.put(&other, Message::new("by its queue").expires_after("600000")).await;
    channel.wait_ready(&other, 0).await;
}

async fn what_was_delivered_does_not_expire() {
    let (channel, q) = queue(|queue| queue.number("x-message-ttl", 200)).await;
    channel.consume(&q).await.done();
    channel.put(&q, "delivered").await;
    let delivery = channel.delivery().await.done();

    let (other, later) = (another_channel(&channel).await, named("later"));
    other.declare(&Queue::named(&later).number("x-message-ttl", 300)).await.done();
    other.put(&later, "gone by then").await;
    other.wait_ready(&later, 0).await;

    channel.ack(delivery.tag).await;
    channel.settle().await;
}

async fn a_message_without_time_is_only_for_who_already_waits() {
    let (channel, q) = queue(|queue| queue.number("x-message-ttl", 0)).await;
    channel.put(&q, "nobody waits").await;
    assert_eq!(channel.get(&q).await.done(), None);
    channel.consume(&q).await.done();

    channel.put(&q, "for who waits").await;

    assert_eq!(channel.delivery().await.done().text(), "for who waits");
}

async fn a_message_that_comes_too_often_is_given_up() {
    let (channel, q) = queue(|queue| queue.quorum().number("x-delivery-limit", 2)).await;
    channel.put_all(&q, ["poison", "good"]).await;
    channel.qos(1).await.done();
    channel.consume(&q).await.done();

    let mut seen = Vec::new();
    // Whether a requeued message goes to the front (3.10) or to the back is left open.
    for _ in 0..4 {
        let delivery = channel.delivery().await.done();
        if delivery.text() == "good" {
            channel.ack(delivery.tag).await;
        } else {
            seen.push(delivery.number("x-delivery-count"));
            channel.nack(delivery.tag, true).await;
        }
    }

    assert_eq!(seen, [None, Some(1), Some(2)]);
    channel.settle().await;
    assert_eq!(channel.delete(&q).await.done(), 0);
}

async fn a_message_that_comes_too_often_becomes_a_dead_letter() {
    let channel = channel().await;
    let (q, dead) = (named("q"), named("dead"));
    channel.declare(&Queue::named(&dead)).await.done();
    channel
        .declare(&Queue::named(&q).quorum().number("x-delivery-limit", 1).dead_letters_to(&dead))
        .await
        .done();
    channel.put(&q, "poison").await;
    channel.consume(&q).await.done();

    for _ in 0..2 {
        channel.nack(channel.delivery().await.done().tag, true).await;
    }

    let letter = channel.take(&dead).await;
    let death = &deaths(&letter)[0];
    assert_eq!((death.reason.as_str(), &death.queue, death.count), ("delivery_limit", &q, 1));
}

async fn a_lost_consumer_counts_as_a_delivery() {
    let (channel, q) = queue(|queue| queue.quorum().number("x-delivery-limit", 1)).await;
    channel.put(&q, "deadly").await;

    for _ in 0..2 {
        let lost = another_channel(&channel).await;
        lost.consume(&q).await.done();
        assert_eq!(lost.delivery().await.done().text(), "deadly");
        lost.close().await.done();
    }

    channel.wait_ready(&q, 0).await;
    assert_eq!(channel.get(&q).await.done(), None);
}

warren::stories! {
    on any broker:
        a_full_queue_drops_its_oldest_message,
        what_was_delivered_does_not_count_for_the_length,
        a_full_queue_can_refuse_new_messages,
        a_full_quorum_queue_can_refuse_new_messages,
        a_refused_message_is_gone_from_the_full_queue_alone,
        a_queue_can_be_limited_in_bytes,
        a_queue_can_refuse_bytes,
        an_unused_queue_expires,
        a_queue_with_a_consumer_does_not_expire,
        messages_expire_after_the_time_of_their_queue,
        a_message_can_expire_by_itself,
        the_shorter_of_two_times_holds,
        what_was_delivered_does_not_expire,
        a_message_without_time_is_only_for_who_already_waits,
        a_message_that_comes_too_often_is_given_up,
        a_message_that_comes_too_often_becomes_a_dead_letter,
        a_lost_consumer_counts_as_a_delivery;
}
