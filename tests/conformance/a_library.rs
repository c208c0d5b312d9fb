//! The library that Warren itself uses, as a program would: it must feel at home.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicGetOptions, BasicNackOptions, BasicPublishOptions,
    BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties};
use tokio::time::timeout;

use crate::support::{named, url};

const PATIENCE: Duration = Duration::from_secs(10);

async fn connect() -> (Connection, Channel, String) {
    let url = url().await;
    let connection = Connection::connect(&url, ConnectionProperties::default()).await.expect("it connects");
    let channel = connection.create_channel().await.expect("the connection is open");
    channel.confirm_select(ConfirmSelectOptions::default()).await.expect("the channel is open");
    let q = named("q");
    let durable = QueueDeclareOptions { durable: true, ..Default::default() };
    channel
        .queue_declare(q.as_str().into(), durable, FieldTable::default())
        .await
        .expect("the queue is declared");
    (connection, channel, q)
}

async fn publish(channel: &Channel, key: &str, body: &[u8]) -> Confirmation {
    let mandatory = BasicPublishOptions { mandatory: true, ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(2);
    let confirm = channel.basic_publish("".into(), key.into(), mandatory, body, properties).await;
    let confirm = timeout(PATIENCE, confirm.expect("the channel is open")).await;
    confirm.expect("a confirm comes").expect("the channel is open")
}

async fn a_library_knows_what_was_routed_and_what_was_not() {
    let (_connection, channel, q) = connect().await;

    assert_eq!(publish(&channel, &q, b"routed").await, Confirmation::Ack(None));
    match publish(&channel, &named("nowhere"), b"returned").await {
        Confirmation::Ack(Some(returned)) => {
            assert_eq!((returned.reply_code, returned.delivery.data.as_slice()), (312, &b"returned"[..]));
        }
        other => panic!("{other:?}"),
    }
}

async fn a_library_consumes_and_acknowledges() {
    let (_connection, channel, q) = connect().await;
    channel.basic_qos(2, BasicQosOptions::default()).await.expect("the channel is open");
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let mut consumer = channel
        .basic_consume(q.as_str().into(), "me".into(), options, arguments)
        .await
        .expect("the queue is there");
    for body in [&b"one"[..], b"two", b"three"] {
        publish(&channel, &q, body).await;
    }

    let mut seen = Vec::new();
    while seen.len() < 4 {
        let delivery = timeout(PATIENCE, consumer.next()).await.expect("one comes");
        let delivery = delivery.expect("the consumer goes on").expect("the channel is open");
        seen.push((delivery.data.clone(), delivery.redelivered));
        if seen.len() == 1 {
            delivery
                .nack(BasicNackOptions { requeue: true, ..Default::default() })
                .await
                .expect("it is open");
        } else {
            delivery.ack(BasicAckOptions::default()).await.expect("it is open");
        }
    }

    assert_eq!(seen[0], (b"one".to_vec(), false));
    assert!(seen.contains(&(b"one".to_vec(), true)), "{seen:?}");
    let deleted = channel.queue_delete(q.into(), QueueDeleteOptions::default()).await;
    assert_eq!(deleted.expect("the channel is open"), 0);
    let end = timeout(PATIENCE, consumer.next()).await.expect("the consumer is told");
    assert!(end.is_none(), "{end:?}");
}

async fn a_library_gets_a_large_message() {
    let (connection, channel, q) = connect().await;
    let body = vec![7; 1_000_000];
    publish(&channel, &q, &body).await;

    let got =
        channel.basic_get(q.into(), BasicGetOptions { no_ack: true }).await.expect("the queue is there");

    assert_eq!(got.expect("it is there").delivery.data, body);
    connection.close(200, "bye".into()).await.expect("the broker answers");
}

warren::stories! {
    on any broker:
        a_library_knows_what_was_routed_and_what_was_not,
        a_library_consumes_and_acknowledges,
        a_library_gets_a_large_message;
}
