//! What RabbitMQ does and the embedded broker does not: it says so with 540, and never looks as if it had done it.

use amq_protocol::protocol::{AMQPClass, BasicProperties, access, basic, exchange, queue, tx};
use amq_protocol::types::{AMQPValue, FieldTable};

use crate::support::{
    Answer, Channel, Closed, Exchange, Message, Own, Queue, Scope, another_channel, table, text,
};

/// Each call that is refused, and what the broker says to it, after the code's name.
fn methods() -> Vec<(AMQPClass, &'static str)> {
    let transactions = "the embedded broker has no transactions: use publisher confirms (confirm.select)";
    let between = "the embedded broker has no bindings between exchanges: bind queues";
    let reply_to = "queue 'amq.rabbitmq.reply-to': the embedded broker has no direct reply-to";
    let headers = "exchange 'amq.headers' in vhost '/': the embedded broker has no headers exchanges";
    vec![
        (AMQPClass::Tx(tx::AMQPMethod::Select(tx::Select {})), transactions),
        (AMQPClass::Tx(tx::AMQPMethod::Commit(tx::Commit {})), transactions),
        (AMQPClass::Tx(tx::AMQPMethod::Rollback(tx::Rollback {})), transactions),
        (
            AMQPClass::Access(access::AMQPMethod::Request(access::Request::default())),
            "the embedded broker has no access tickets: do without one",
        ),
        (exchange_bind("amq.direct", "amq.topic"), between),
        (exchange_unbind("amq.direct", "amq.topic"), between),
        (
            declare_exchange("new", "headers", FieldTable::default()),
            "type 'headers' of exchange 'new' in vhost '/': the embedded broker has direct, fanout and topic exchanges",
        ),
        (declare_exchange("amq.headers", "headers", FieldTable::default()), headers),
        (bind_to("amq.headers"), headers),
        (
            bind_to("amq.match"),
            "exchange 'amq.match' in vhost '/': the embedded broker has no headers exchanges",
        ),
        (
            bind_to("amq.rabbitmq.trace"),
            "exchange 'amq.rabbitmq.trace' in vhost '/': the embedded broker has no tracing",
        ),
        (
            declare_exchange("new", "direct", table([("alternate-exchange", text("amq.fanout"))])),
            "argument 'alternate-exchange' of exchange 'new' in vhost '/': the embedded broker has no alternate exchanges",
        ),
        (
            declare("new", table([("x-max-priority", AMQPValue::LongInt(5))])),
            "argument 'x-max-priority' of queue 'new' in vhost '/': the embedded broker has no priorities",
        ),
        (
            declare("new", table([("x-queue-type", text("stream"))])),
            "argument 'x-queue-type' of queue 'new' in vhost '/': the embedded broker has no streams",
        ),
        (
            declare("new", table([("x-single-active-consumer", AMQPValue::Boolean(true))])),
            "argument 'x-single-active-consumer' of queue 'new' in vhost '/': the embedded broker has no single active \
             consumers",
        ),
        (
            consume("q", table([("x-priority", AMQPValue::LongInt(5))])),
            "argument 'x-priority' of a consumer of queue 'q' in vhost '/': the embedded broker has no consumer priorities",
        ),
        (declare("amq.rabbitmq.reply-to", FieldTable::default()), reply_to),
        (consume("amq.rabbitmq.reply-to", FieldTable::default()), reply_to),
    ]
}

fn exchange_bind(destination: &str, source: &str) -> AMQPClass {
    AMQPClass::Exchange(exchange::AMQPMethod::Bind(exchange::Bind {
        destination: destination.into(),
        source: source.into(),
        ..Default::default()
    }))
}

fn exchange_unbind(destination: &str, source: &str) -> AMQPClass {
    AMQPClass::Exchange(exchange::AMQPMethod::Unbind(exchange::Unbind {
        destination: destination.into(),
        source: source.into(),
        ..Default::default()
    }))
}

fn declare_exchange(name: &str, kind: &str, arguments: FieldTable) -> AMQPClass {
    AMQPClass::Exchange(exchange::AMQPMethod::Declare(exchange::Declare {
        exchange: name.into(),
        kind: kind.into(),
        durable: true,
        arguments,
        ..Default::default()
    }))
}

fn bind_to(exchange: &str) -> AMQPClass {
    let bind = queue::Bind { queue: "q".into(), exchange: exchange.into(), ..Default::default() };
    AMQPClass::Queue(queue::AMQPMethod::Bind(bind))
}

fn declare(name: &str, arguments: FieldTable) -> AMQPClass {
    let declare = queue::Declare { queue: name.into(), durable: true, arguments, ..Default::default() };
    AMQPClass::Queue(queue::AMQPMethod::Declare(declare))
}

fn consume(queue: &str, arguments: FieldTable) -> AMQPClass {
    let consume = basic::Consume { queue: queue.into(), no_ack: true, arguments, ..Default::default() };
    AMQPClass::Basic(basic::AMQPMethod::Consume(consume))
}

async fn what_it_does_not_do_it_refuses() {
    let own = Own::new().await;
    let witness = own.channel("witness").await;
    witness.declare(&Queue::named("q")).await.done();

    for (method, expected) in methods() {
        let asking = own.channel("asking").await;
        let beside = another_channel(&asking).await;
        let ids = (method.get_amqp_class_id(), method.get_amqp_method_id());

        asking.say(method).await;

        is_refused(asking.closed().await, ids, expected);
        assert_eq!(beside.closed().await.code, 540, "the whole connection is closed");
        is_as_it_was(&witness).await;
    }
}

async fn copies_of_a_message_are_refused_with_it() {
    let own = Own::new().await;
    let witness = own.channel("witness").await;
    witness.declare(&Queue::named("q")).await.done();

    for header in ["CC", "BCC"] {
        let copies = table([(header, AMQPValue::FieldArray(vec![text("q")].into()))]);
        let properties = BasicProperties::default().with_headers(copies);
        let publisher = own.publisher("publisher").await;

        publisher.publish("", "q", Message::with(properties, "copied")).await;

        let expected = "headers 'CC' and 'BCC': the embedded broker sends to no one by them";
        is_refused(publisher.closed().await, (60, 40), expected);
        is_as_it_was(&witness).await;
    }
}

#[track_caller]
fn is_refused(refused: Closed, method: (u16, u16), expected: &str) {
    let text = format!("NOT_IMPLEMENTED - {expected}");
    assert_eq!(refused, Closed { scope: Scope::Connection, code: 540, text, method });
}

/// Others are served, and nothing of what was refused is there.
async fn is_as_it_was(witness: &Channel) {
    let q = witness.ask("q").await.done();
    assert_eq!((q.message_count, q.consumer_count), (0, 0));
    for missing in [
        another_channel(witness).await.ask("new").await.map(drop),
        another_channel(witness).await.declare_exchange(&Exchange::new("new", "direct").passive()).await,
    ] {
        missing.closes_channel(404, "NOT_FOUND");
    }
}

warren::stories! {
    on the embedded broker:
        what_it_does_not_do_it_refuses,
        copies_of_a_message_are_refused_with_it;
}
