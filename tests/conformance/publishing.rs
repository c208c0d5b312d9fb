//! Publishing: confirms, returns, refusals, and that what arrives is what was sent.

use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};
use amq_protocol::types::{AMQPValue, DecimalValue};

use crate::support::{
    Answer, Channel, Confirm, Connection, Exchange, Login, Message, Queue, another_channel, channel, named,
    table, text, url,
};

async fn queue(channel: &Channel, queue: Queue) -> String {
    channel.declare(&queue).await.done().queue.to_string()
}

async fn confirming() -> Channel {
    let channel = channel().await;
    channel.confirm_select().await.done();
    channel
}

async fn confirms_count_from_one() {
    let channel = channel().await;
    let q = queue(&channel, Queue::nameless()).await;
    channel.publish("", &q, "before").await;
    channel.confirm_select().await.done();

    channel.publish("", &q, "first").await;
    assert_eq!(channel.confirm().await.done(), Confirm::Ack { tag: 1, multiple: false });
    channel.publish("", &q, "second").await;
    assert_eq!(channel.confirm().await.done(), Confirm::Ack { tag: 2, multiple: false });

    assert_eq!(channel.take_texts(&q, 3).await, ["before", "first", "second"]);
}

async fn every_message_of_many_is_confirmed_once() {
    let channel = confirming().await;
    every_one_is_confirmed(&channel, Queue::named(&named("q"))).await;
}

async fn every_message_of_many_to_a_quorum_queue_is_confirmed_once() {
    let channel = confirming().await;
    every_one_is_confirmed(&channel, Queue::named(&named("q")).quorum()).await;
}

async fn every_one_is_confirmed(channel: &Channel, declare: Queue) {
    const MANY: u64 = 200;
    let q = queue(channel, declare).await;

    for number in 1..=MANY {
        channel.publish("", &q, Message::new(number.to_string()).persistent()).await;
    }

    let mut open: Vec<u64> = (1..=MANY).collect();
    while !open.is_empty() {
        let before = open.len();
        match channel.confirm().await.done() {
            Confirm::Ack { tag, multiple: true } => open.retain(|&each| each > tag),
            Confirm::Ack { tag, multiple: false } => open.retain(|&each| each != tag),
            nack => panic!("{nack:?}"),
        }
        assert!(open.len() < before, "a confirm confirmed nothing; open are {open:?}");
    }
    channel.wait_ready(&q, MANY as u32).await;
    let expected: Vec<_> = (1..=MANY).map(|number| number.to_string()).collect();
    assert_eq!(channel.take_texts(&q, MANY as usize).await, expected);
}

async fn confirms_can_be_asked_for_twice() {
    let channel = confirming().await;
    let q = queue(&channel, Queue::nameless()).await;
    channel.publish("", &q, "first").await;
    assert_eq!(channel.confirm().await.done(), Confirm::Ack { tag: 1, multiple: false });

    channel.confirm_select().await.done();
    channel.publish("", &q, "second").await;

    assert_eq!(channel.confirm().await.done(), Confirm::Ack { tag: 2, multiple: false });
}

async fn each_channel_counts_its_own_confirms() {
    let one = confirming().await;
    let other = another_channel(&one).await;
    other.confirm_select().await.done();
    let q = queue(&one, Queue::nameless()).await;

    one.publish("", &q, "one").await;
    other.publish("", &q, "other").await;

    assert_eq!(one.confirm().await.done(), Confirm::Ack { tag: 1, multiple: false });
    assert_eq!(other.confirm().await.done(), Confirm::Ack { tag: 1, multiple: false });
}

async fn a_message_that_no_queue_wants_is_confirmed() {
    let channel = confirming().await;

    channel.publish("amq.direct", &named("nowhere"), "lost").await;

    let first = channel.next().await.done();
    assert!(matches!(first.method, AMQPClass::Basic(basic::AMQPMethod::Ack(_))), "{first:?}");
}

async fn a_mandatory_message_comes_back_before_its_confirm() {
    let channel = confirming().await;
    let nowhere = named("nowhere");
    let properties = BasicProperties::default().with_message_id("7".into()).with_delivery_mode(2);

    channel.publish_mandatory("amq.direct", &nowhere, Message::with(properties.clone(), "back")).await;

    let returned = channel.next().await.done();
    let AMQPClass::Basic(basic::AMQPMethod::Return(method)) = &returned.method else {
        panic!("{returned:?} instead of Basic.Return")
    };
    assert_eq!((method.reply_code, method.reply_text.as_str()), (312, "NO_ROUTE"));
    assert_eq!((method.exchange.as_str(), method.routing_key.as_str()), ("amq.direct", nowhere.as_str()));
    assert_eq!((returned.properties, returned.body), (properties, b"back".to_vec()));
    let confirm = channel.next().await.done();
    assert!(matches!(confirm.method, AMQPClass::Basic(basic::AMQPMethod::Ack(_))), "{confirm:?}");
}

async fn a_mandatory_message_that_a_queue_wants_does_not_come_back() {
    let channel = confirming().await;
    let q = queue(&channel, Queue::nameless()).await;

    channel.publish_mandatory("", &q, "wanted").await;

    let first = channel.next().await.done();
    assert!(matches!(first.method, AMQPClass::Basic(basic::AMQPMethod::Ack(_))), "{first:?}");
}

async fn a_mandatory_message_comes_back_without_confirms_too() {
    let channel = channel().await;

    channel.publish_mandatory("", &named("nowhere"), "back").await;

    let returned = channel.next().await.done();
    assert!(matches!(returned.method, AMQPClass::Basic(basic::AMQPMethod::Return(_))), "{returned:?}");
}

async fn a_missing_exchange_closes_the_channel_that_publishes() {
    let channel = confirming().await;
    let missing = named("missing");

    channel.publish(&missing, "key", "lost").await;

    channel.closed().await.closes_channel(404, &format!("NOT_FOUND - no exchange '{missing}' in vhost "));
}

async fn a_refused_message_names_its_publish() {
    let unknown_mode = BasicProperties::default().with_delivery_mode(3);
    let nobody_waits = BasicProperties::default().with_reply_to("amq.rabbitmq.reply-to".into());
    let no_number = BasicProperties::default().with_expiration("soon".into());

    for (exchange, properties, code, text) in [
        ("", unknown_mode, 406, "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}"),
        ("", nobody_waits, 406, "PRECONDITION_FAILED - fast reply consumer does not exist"),
        ("", no_number.clone(), 406, "PRECONDITION_FAILED - invalid expiration 'soon': no_integer"),
        ("missing", no_number, 404, "NOT_FOUND - no exchange 'missing'"),
    ] {
        let channel = confirming().await;

        channel.publish(exchange, "key", Message::with(properties, "refused")).await;

        let refused = channel.closed().await;
        assert_eq!(refused.method, (60, 40), "{refused}");
        refused.closes_channel(code, text);
    }
}

async fn nothing_is_delivered_immediately() {
    let channel = channel().await;
    let publish = basic::Publish { routing_key: "q".into(), immediate: true, ..Default::default() };

    channel.publish_as(publish, "now").await;

    channel.closed().await.closes_connection(540, "NOT_IMPLEMENTED - immediate=true");
}

async fn an_empty_body_arrives() {
    let channel = channel().await;
    let q = queue(&channel, Queue::nameless()).await;

    channel.put(&q, "").await;
    channel.put(&q, "next").await;

    let message = channel.take(&q).await;
    assert_eq!((message.body.len(), message.frames), (0, 0));
    assert_eq!(channel.take(&q).await.text(), "next");
}

async fn a_large_body_arrives_whole() {
    let channel = channel().await;
    let q = queue(&channel, Queue::nameless()).await;
    let body: Vec<u8> = (0..1_500_000_u32).flat_map(u32::to_le_bytes).collect();

    channel.put(&q, Message::new(body.clone())).await;

    let message = channel.take(&q).await;
    assert!(message.body == body, "6 MB came back as {} bytes", message.body.len());
    assert!(message.frames > body.len() / 131_072, "frames are as small as agreed");
}

async fn a_body_is_cut_into_the_frames_that_its_consumer_agreed_to() {
    let login = Login { frame_max: 8192, ..Login::to(&url().await) };
    let small = Connection::open(&login).await.done().channel(1).await.done();
    let q = queue(&small, Queue::nameless()).await;

    for size in [8192 - 8, 8192 - 7, 2 * (8192 - 8)] {
        channel().await.put(&q, Message::new(vec![7; size])).await;
        let message = small.take(&q).await;
        assert_eq!((message.body.len(), message.frames), (size, size.div_ceil(8192 - 8)));
    }
}

async fn every_property_arrives_as_it_was_sent() {
    let channel = channel().await;
    let q = queue(&channel, Queue::nameless()).await;
    let headers = table([
        ("bool", AMQPValue::Boolean(true)),
        ("byte", AMQPValue::ShortShortInt(-7)),
        ("short", AMQPValue::ShortInt(-300)),
        ("int", AMQPValue::LongInt(-70_000)),
        ("long", AMQPValue::LongLongInt(i64::MIN)),
        ("double", AMQPValue::Double(2.5)),
        ("float", AMQPValue::Float(-0.5)),
        ("decimal", AMQPValue::DecimalValue(DecimalValue { scale: 2, value: 314 })),
        ("text", text("grüezi")),
        ("timestamp", AMQPValue::Timestamp(1_700_000_000)),
        ("void", AMQPValue::Void),
        ("bytes", AMQPValue::ByteArray(vec![0, 255].into())),
        ("table", AMQPValue::FieldTable(table([("deep", AMQPValue::FieldTable(table([])))]))),
        ("array", AMQPValue::FieldArray(vec![text("one"), AMQPValue::LongInt(2)].into())),
    ]);
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_headers(headers)
        .with_delivery_mode(2)
        .with_priority(9)
        .with_correlation_id("correlation".into())
        .with_reply_to("reply".into())
        .with_expiration("600000".into())
        .with_message_id("id".into())
        .with_timestamp(1_700_000_000)
        .with_type("type".into())
        .with_user_id("guest".into())
        .with_app_id("app".into())
        .with_cluster_id("cluster".into());

    channel.put(&q, Message::with(properties.clone(), "body")).await;

    assert_eq!(channel.take(&q).await.properties, properties);
}

async fn no_property_arrives_that_was_not_sent() {
    let channel = channel().await;
    let q = queue(&channel, Queue::nameless()).await;

    channel.put(&q, "bare").await;

    assert_eq!(channel.take(&q).await.properties, BasicProperties::default());
}

async fn nobody_can_publish_in_the_name_of_another_user() {
    let channel = channel().await;
    let properties = BasicProperties::default().with_user_id("somebody".into());

    channel.publish("amq.direct", "key", Message::with(properties, "forged")).await;

    channel.closed().await.closes_channel(406, "PRECONDITION_FAILED - user_id property set to 'somebody'");
}

async fn an_expiration_is_a_number() {
    for wrong in ["soon", "-1", "1.5", ""] {
        let channel = channel().await;

        channel.publish("amq.direct", "key", Message::new("x").expires_after(wrong)).await;

        channel.closed().await.closes_channel(406, "PRECONDITION_FAILED - invalid expiration");
    }
}

async fn a_message_goes_to_every_queue_that_wants_it() {
    let channel = channel().await;
    let x = named("x");
    channel.declare_exchange(&Exchange::new(&x, "fanout")).await.done();
    let mut queues = Vec::new();
    for declare in
        [Queue::nameless(), Queue::named(&named("classic")), Queue::named(&named("quorum")).quorum()]
    {
        let q = queue(&channel, declare).await;
        channel.bind(&q, &x, "").await.done();
        queues.push(q);
    }

    assert!(channel.put_to(&x, "", Message::new("to all").persistent()).await);

    for q in queues {
        assert_eq!(channel.take(&q).await.text(), "to all", "{q}");
    }
}

warren::stories! {
    on any broker:
        confirms_count_from_one,
        every_message_of_many_is_confirmed_once,
        every_message_of_many_to_a_quorum_queue_is_confirmed_once,
        confirms_can_be_asked_for_twice,
        each_channel_counts_its_own_confirms,
        a_message_that_no_queue_wants_is_confirmed,
        a_mandatory_message_comes_back_before_its_confirm,
        a_mandatory_message_that_a_queue_wants_does_not_come_back,
        a_mandatory_message_comes_back_without_confirms_too,
        a_missing_exchange_closes_the_channel_that_publishes,
        a_refused_message_names_its_publish,
        nothing_is_delivered_immediately,
        an_empty_body_arrives,
        a_large_body_arrives_whole,
        a_body_is_cut_into_the_frames_that_its_consumer_agreed_to,
        every_property_arrives_as_it_was_sent,
        no_property_arrives_that_was_not_sent,
        nobody_can_publish_in_the_name_of_another_user,
        an_expiration_is_a_number,
        a_message_goes_to_every_queue_that_wants_it;
}
