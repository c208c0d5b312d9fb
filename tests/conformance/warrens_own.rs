//! The queues as Warren declares them: at-least-once dead letters, refused publishes, delays, delivery limits.

use crate::support::{Answer, Channel, Exchange, Message, Queue, another_channel, channel, deaths, named};

/// The names of one set of queues.
struct Own {
    events: String,
    dead: String,
    retry: String,
    queue: String,
}

fn at_least_once(queue: Queue, exchange: &str) -> Queue {
    let queue = queue.quorum().text("x-dead-letter-exchange", exchange);
    queue.text("x-dead-letter-strategy", "at-least-once").text("x-overflow", "reject-publish")
}

async fn declared(channel: &Channel, delivery_limit: i64) -> Own {
    let own = Own {
        events: named("events"),
        dead: named("dead"),
        retry: named("retry"),
        queue: named("orders.user-created"),
    };
    channel.declare_exchange(&Exchange::new(&own.events, "topic")).await.done();
    channel.declare_exchange(&Exchange::new(&own.dead, "fanout")).await.done();
    let dead = Queue::named(&own.dead).quorum().number("x-delivery-limit", 1_000_000_000);
    channel.declare(&dead).await.done();
    channel.bind(&own.dead, &own.dead, "").await.done();
    channel.declare_exchange(&Exchange::new(&own.retry, "fanout")).await.done();
    let retry = at_least_once(Queue::named(&own.retry), "").number("x-message-ttl", 50);
    channel.declare(&retry).await.done();
    channel.bind(&own.retry, &own.retry, "").await.done();
    let queue = at_least_once(Queue::named(&own.queue), &own.dead).number("x-delivery-limit", delivery_limit);
    channel.declare(&queue).await.done();
    channel.bind(&own.queue, &own.events, "user.created").await.done();
    own
}

fn event(body: &str) -> Message {
    Message::new(body).persistent()
}

async fn everything_can_be_declared_at_every_connect() {
    let channel = channel().await;
    let own = declared(&channel, 100).await;
    assert!(channel.put_to(&own.events, "user.created", event("{}")).await);

    declared(&channel, 100).await;

    let taken = channel.take(&own.queue).await;
    assert_eq!((taken.text().as_str(), taken.properties.delivery_mode()), ("{}", &Some(2)));
}

async fn another_delivery_limit_is_another_queue() {
    let first = channel().await;
    let own = declared(&first, 100).await;

    let other = at_least_once(Queue::named(&own.queue), &own.dead).number("x-delivery-limit", 5);
    let refused = channel().await.declare(&other).await.map(drop);

    refused.closes_channel(406, &format!("inequivalent arg 'x-delivery-limit' for queue '{}'", own.queue));
}

async fn a_delayed_message_returns_to_the_queue_of_its_key() {
    let channel = channel().await;
    let own = declared(&channel, 100).await;

    assert!(channel.put_to(&own.retry, &own.queue, event("later")).await);

    let back = channel.take(&own.queue).await;
    assert_eq!((back.text().as_str(), back.exchange.as_str(), &back.routing_key), ("later", "", &own.queue));
    let death = &deaths(&back)[0];
    assert_eq!((death.reason.as_str(), &death.queue), ("expired", &own.retry));
    channel.wait_ready(&own.retry, 0).await;
}

async fn a_message_can_be_delayed_again_and_again() {
    let channel = channel().await;
    let own = declared(&channel, 100).await;
    channel.put_to(&own.retry, &own.queue, event("later")).await;

    for _ in 0..3 {
        let back = channel.take_unacknowledged(&own.queue).await;
        assert_eq!((back.text().as_str(), deaths(&back)[0].reason.as_str()), ("later", "expired"));
        // As Warren's consumer does: it publishes the message anew, headers and all, and acknowledges the old one.
        channel
            .put_to(&own.retry, &own.queue, Message { properties: back.properties, body: back.body })
            .await;
        channel.ack(back.tag).await;
    }
}

async fn a_message_past_its_delivery_limit_is_a_dead_letter() {
    let channel = channel().await;
    let own = declared(&channel, 2).await;
    channel.put_to(&own.events, "user.created", event("deadly")).await;

    for _ in 0..3 {
        let crashing = another_channel(&channel).await;
        crashing.qos(1).await.done();
        crashing.consume(&own.queue).await.done();
        assert_eq!(crashing.delivery().await.done().text(), "deadly");
        crashing.close().await.done();
    }

    let letter = channel.take(&own.dead).await;
    let death = &deaths(&letter)[0];
    assert_eq!(
        (letter.text().as_str(), death.reason.as_str(), &death.queue),
        ("deadly", "delivery_limit", &own.queue)
    );
    assert_eq!(letter.routing_key, "user.created");
}

async fn a_rejected_message_is_a_dead_letter_once() {
    let channel = channel().await;
    let own = declared(&channel, 100).await;
    channel.put_to(&own.events, "user.created", event("bad")).await;

    channel.reject(channel.take_unacknowledged(&own.queue).await.tag, false).await;

    let letter = channel.take(&own.dead).await;
    assert_eq!((letter.text().as_str(), deaths(&letter)[0].reason.as_str()), ("bad", "rejected"));
    channel.wait_ready(&own.dead, 0).await;
    channel.wait_ready(&own.queue, 0).await;
}

async fn dead_letters_can_be_looked_at_more_often_than_a_limit_allows() {
    let channel = channel().await;
    let own = declared(&channel, 100).await;
    channel.put_to(&own.dead, "", event("seen")).await;

    for _ in 0..25 {
        let letter = channel.take_unacknowledged(&own.dead).await;
        channel.nack(letter.tag, true).await;
    }

    assert_eq!(channel.take(&own.dead).await.text(), "seen");
}

warren::stories! {
    on any broker:
        everything_can_be_declared_at_every_connect,
        another_delivery_limit_is_another_queue,
        a_delayed_message_returns_to_the_queue_of_its_key,
        a_message_can_be_delayed_again_and_again,
        a_message_past_its_delivery_limit_is_a_dead_letter,
        a_rejected_message_is_a_dead_letter_once,
        dead_letters_can_be_looked_at_more_often_than_a_limit_allows;
}
