//! Channels: what closes one, what closes its connection with it, and what is left afterwards.

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, queue};

use crate::support::{Answer, Queue, another_channel, channel, connection, named};

async fn an_error_closes_its_channel_alone() {
    let failing = channel().await;
    let other = another_channel(&failing).await;

    failing.ask(&named("missing")).await.map(drop).closes_channel(404, "NOT_FOUND");

    other.settle().await;
}

async fn the_number_of_a_closed_channel_can_be_used_again() {
    let failing = channel().await;
    failing.ask(&named("missing")).await.map(drop).closes_channel(404, "NOT_FOUND");

    let next = failing.connection().channel(failing.id()).await.done();
    next.declare(&Queue::nameless()).await.done();
    next.close().await.done();

    failing.connection().channel(failing.id()).await.done().settle().await;
}

async fn an_error_names_the_method_that_failed() {
    let channel = channel().await;

    let refused = channel.ask(&named("missing")).await.expect_err("the queue is missing");

    assert_eq!(refused.method, (50, 10), "Queue.Declare");
}

async fn what_was_said_after_an_error_is_not_heard() {
    let failing = channel().await;
    let (missing, late) = (named("missing"), named("late"));

    failing.publish(&missing, "key", "lost").await;
    let declare = queue::Declare { queue: late.as_str().into(), durable: true, ..Default::default() };
    failing.say(queue::AMQPMethod::Declare(declare)).await;
    failing.closed().await.closes_channel(404, "NOT_FOUND - no exchange");

    let next = failing.connection().channel(failing.id()).await.done();
    next.ask(&late).await.map(drop).closes_channel(404, "NOT_FOUND - no queue");
}

async fn a_channel_cannot_be_opened_twice() {
    let opened = channel().await;

    let again = opened.call(channel::AMQPMethod::Open(channel::Open {})).await;

    again.map(drop).closes_connection(504, "CHANNEL_ERROR");
}

async fn a_method_on_a_channel_that_is_not_open_ends_the_connection() {
    let connection = connection().await;
    let qos = AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos::default()));

    connection.send(&[AMQPFrame::Method(7, qos)]).await;

    connection.closed().await.closes_connection(504, "CHANNEL_ERROR");
}

async fn a_header_without_a_publish_ends_the_connection() {
    let channel = channel().await;
    let header = AMQPContentHeader { class_id: 60, body_size: 1, properties: BasicProperties::default() };

    channel.connection().send(&[AMQPFrame::Header(1, header)]).await;

    channel.closed().await.closes_connection(505, "UNEXPECTED_FRAME");
}

async fn a_body_without_a_header_ends_the_connection() {
    let channel = channel().await;

    channel.say(basic::AMQPMethod::Publish(basic::Publish::default())).await;
    channel.connection().send(&[AMQPFrame::Body(1, b"body".to_vec())]).await;

    channel.closed().await.closes_connection(505, "UNEXPECTED_FRAME");
}

async fn a_method_in_the_place_of_a_header_ends_the_connection() {
    let channel = channel().await;

    channel.say(basic::AMQPMethod::Publish(basic::Publish::default())).await;
    channel.say(basic::AMQPMethod::Qos(basic::Qos::default())).await;

    channel.closed().await.closes_connection(505, "UNEXPECTED_FRAME");
}

async fn a_header_of_another_class_ends_the_connection() {
    let channel = channel().await;
    let header = AMQPContentHeader { class_id: 50, body_size: 1, properties: BasicProperties::default() };

    channel.say(basic::AMQPMethod::Publish(basic::Publish::default())).await;
    channel.connection().send(&[AMQPFrame::Header(1, header)]).await;

    channel.closed().await.closes_connection(505, "UNEXPECTED_FRAME");
}

async fn a_closed_channel_gives_its_unacknowledged_messages_back() {
    let closing = channel().await;
    let other = another_channel(&closing).await;
    let q = named("q");
    other.declare(&Queue::named(&q)).await.done();
    other.put_all(&q, ["one", "two"]).await;
    closing.consume(&q).await.done();
    closing.deliveries(2).await;
    assert_eq!(other.get(&q).await.done(), None);

    closing.close().await.done();

    let first = other.take(&q).await;
    assert_eq!((first.text().as_str(), first.redelivered), ("one", true));
    let second = other.take(&q).await;
    assert_eq!((second.text().as_str(), second.redelivered), ("two", true));
}

async fn flow_can_be_asked_for_but_not_stopped() {
    let channel = channel().await;

    let flow = channel.call(channel::AMQPMethod::Flow(channel::Flow { active: true })).await.done();
    assert_eq!(flow, AMQPClass::Channel(channel::AMQPMethod::FlowOk(channel::FlowOk { active: true })));

    let stop = channel.call(channel::AMQPMethod::Flow(channel::Flow { active: false })).await;
    stop.map(drop).closes_connection(540, "NOT_IMPLEMENTED");
}

async fn channels_of_one_connection_do_not_wait_for_each_other() {
    let one = channel().await;
    let other = another_channel(&one).await;
    let q = named("q");
    one.declare(&Queue::named(&q)).await.done();

    // A message whose body is still to come.
    let publish = basic::Publish { routing_key: q.as_str().into(), ..Default::default() };
    one.say(basic::AMQPMethod::Publish(publish)).await;
    let header = AMQPContentHeader { class_id: 60, body_size: 5, properties: BasicProperties::default() };
    one.connection().send(&[AMQPFrame::Header(1, header)]).await;
    other.put(&q, "other").await;
    assert_eq!(other.take(&q).await.text(), "other");

    one.connection().send(&[AMQPFrame::Body(1, b"whole".to_vec())]).await;
    assert_eq!(one.take(&q).await.text(), "whole");
}

warren::stories! {
    on any broker:
        an_error_closes_its_channel_alone,
        the_number_of_a_closed_channel_can_be_used_again,
        an_error_names_the_method_that_failed,
        what_was_said_after_an_error_is_not_heard,
        a_channel_cannot_be_opened_twice,
        a_method_on_a_channel_that_is_not_open_ends_the_connection,
        a_header_without_a_publish_ends_the_connection,
        a_body_without_a_header_ends_the_connection,
        a_method_in_the_place_of_a_header_ends_the_connection,
        a_header_of_another_class_ends_the_connection,
        a_closed_channel_gives_its_unacknowledged_messages_back,
        flow_can_be_asked_for_but_not_stopped,
        channels_of_one_connection_do_not_wait_for_each_other;
}
