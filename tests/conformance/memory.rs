//! The embedded broker's memory is bounded, whatever waits in it and whoever does not listen. The bounds are those of a
//! debug build, and generous.

use std::time::Duration;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, connection};
use tokio::time::timeout;
use warren::harness::eventually;

use crate::support::{Answer, Channel, Confirm, Message, Own, Queue};

const LARGE: usize = 64 * 1024;

/// KiB.
const MOST: u64 = 120 * 1024;

fn large() -> Message {
    Message::new(vec![7; LARGE]).persistent()
}

/// Waits until all up to this number are confirmed.
async fn confirmed_up_to(publisher: &Channel, last: u64) {
    let mut left = last;
    while left > 0 {
        match publisher.confirm().await.done() {
            Confirm::Ack { tag, multiple: true } => left = last - tag,
            Confirm::Ack { .. } => left -= 1,
            Confirm::Nack { tag, .. } => panic!("{tag} was refused"),
        }
    }
}

async fn neither_a_fast_publisher_nor_a_deaf_consumer_fills_the_memory() {
    const EACH: u64 = 1600;
    let own = Own::new().await;
    let publishers = [own.publisher("one").await, own.publisher("other").await];
    publishers[0].declare(&Queue::named("q")).await.done();

    let mut most = 0;
    for number in 0..EACH {
        for publisher in &publishers {
            publisher.publish("", "q", large()).await;
        }
        if number % 20 == 0 {
            most = most.max(own.memory());
        }
    }
    for publisher in &publishers {
        most = most.max(own.memory());
        confirmed_up_to(publisher, EACH).await;
    }
    warren::note!("publishing 200 MB took {most} KiB");
    assert!(most < MOST, "{most} KiB while 200 MB were published");
    assert_eq!(own.of_queue("q", "waiting").await, 2 * EACH);

    let deaf = own.channel("deaf").await;
    let consume = basic::Consume { queue: "q".into(), nowait: true, ..Default::default() };
    deaf.say(basic::AMQPMethod::Consume(consume)).await;
    let mut before = 0;
    let delivered = eventually(Duration::from_secs(30), "the socket is full", async || {
        let now = own.of_queue("q", "unacknowledged").await;
        if now > 0 && std::mem::replace(&mut before, now) == now { Ok(now) } else { Err(now) }
    })
    .await;
    let memory = own.memory();
    warren::note!("{delivered} messages to who does not read took {memory} KiB");
    assert!(delivered < EACH && memory < MOST, "{delivered} messages to who does not read, {memory} KiB");
}

async fn who_does_not_hear_what_is_returned_is_not_read_any_more() {
    let own = Own::new().await;
    let deaf = own.channel("deaf").await;

    let mut sent = 0;
    while timeout(Duration::from_secs(1), deaf.publish_mandatory("", "nowhere", large())).await.is_ok() {
        sent += 1;
        assert!(sent < 3000, "it reads on");
    }

    let memory = own.memory();
    assert!(memory < MOST, "{memory} KiB");
    own.channel("other").await.settle().await;
}

async fn publishers_are_blocked_at_the_limit_until_somebody_consumes() {
    const COUNT: u64 = 40;
    let own = Own::with(|node| node.queue_bytes(1024 * 1024)).await;
    let (publisher, consumer) = (own.publisher("publisher").await, own.channel("consumer").await);
    consumer.declare(&Queue::named("q")).await.done();

    for _ in 0..COUNT {
        publisher.publish("", "q", large()).await;
    }
    let blocked = |method: &connection::AMQPMethod| matches!(method, connection::AMQPMethod::Blocked(_));
    let connection::AMQPMethod::Blocked(blocked) = publisher.connection().on_zero(blocked).await.done()
    else {
        unreachable!("it was asked for")
    };
    assert!(blocked.reason.as_str().contains("--queue-bytes"), "{blocked:?}");
    // A little more than fits may be in, as much as is read at once.
    let waiting = own.of_queue("q", "waiting").await;
    assert!((15..=20).contains(&waiting), "{waiting} messages of 64 KiB are in 1 MiB");

    for _ in 0..COUNT {
        consumer.take("q").await;
    }
    confirmed_up_to(&publisher, COUNT).await;
}

async fn a_hundred_thousand_small_messages_take_little() {
    const COUNT: u64 = 100_000;
    let own = Own::new().await;
    let publisher = own.publisher("publisher").await;
    publisher.declare(&Queue::named("q")).await.done();
    warren::note!("empty: {} KiB", own.memory());

    for _ in 0..COUNT / 1000 {
        publisher.connection().send(&small(1000)).await;
    }
    confirmed_up_to(&publisher, COUNT).await;

    let memory = own.memory();
    warren::note!("{COUNT} small messages: {memory} KiB");
    assert!(memory < 80 * 1024, "{memory} KiB for {COUNT} small messages");
    own.node().kill9();
    own.start().await;
    let memory = own.memory();
    warren::note!("{COUNT} small messages, read again: {memory} KiB");
    assert!(memory < 80 * 1024, "{memory} KiB for {COUNT} small messages that were read again");
    assert_eq!(own.of_queue("q", "waiting").await, COUNT);
}

fn small(count: usize) -> Vec<AMQPFrame> {
    let body = vec![7; 100];
    let publish = basic::Publish { routing_key: "q".into(), ..Default::default() };
    let method = AMQPClass::Basic(basic::AMQPMethod::Publish(publish));
    let properties = BasicProperties::default().with_delivery_mode(2);
    let header = AMQPContentHeader { class_id: 60, body_size: body.len() as u64, properties };
    let one = [AMQPFrame::Method(1, method), AMQPFrame::Header(1, header), AMQPFrame::Body(1, body)];
    std::iter::repeat_n(one, count).flatten().collect()
}

async fn clients_that_came_and_went_leave_nothing() {
    let own = Own::new().await;
    let stays = own.channel("stays").await;
    stays.declare(&Queue::named("q")).await.done();
    come_and_go(&own, 20).await;
    let (threads, descriptors) = (own.of_process("Threads:"), own.descriptors());

    come_and_go(&own, 500).await;

    let gone = async || {
        let status = own.status().await;
        let left = (status["connections"].as_array().map_or(0, Vec::len), own.descriptors());
        if left.0 == 1 && left.1 <= descriptors { Ok(()) } else { Err(format!("{left:?}")) }
    };
    eventually(Duration::from_secs(20), "connections and descriptors are gone", gone).await;
    assert!(own.of_process("Threads:") <= threads);
    let status = own.status().await;
    assert_eq!(status["queues"].as_array().map(Vec::len), Some(1), "{status}");
    assert_eq!((own.of_queue("q", "consumers").await, own.of_queue("q", "unacknowledged").await), (0, 0));
}

/// Half of them say goodbye.
async fn come_and_go(own: &Own, count: usize) {
    for number in 0..count {
        let channel = own.channel("comes and goes").await;
        channel.declare(&Queue::nameless()).await.done();
        channel.declare(&Queue::named("fleeting").transient().auto_delete()).await.done();
        channel.consume("fleeting").await.done();
        channel.consume("q").await.done();
        channel.publish("", "q", "x").await;
        channel.delivery().await.done();
        if number % 2 == 0 {
            channel.ack(1).await;
            channel.connection().close().await.done();
        }
        own.order(warren::broker::faults::Order::Status).await;
    }
    own.channel("cleans").await.purge("q").await.done();
}

warren::stories! {
    on the embedded broker:
        neither_a_fast_publisher_nor_a_deaf_consumer_fills_the_memory,
        who_does_not_hear_what_is_returned_is_not_read_any_more,
        publishers_are_blocked_at_the_limit_until_somebody_consumes,
        a_hundred_thousand_small_messages_take_little,
        clients_that_came_and_went_leave_nothing;
}
