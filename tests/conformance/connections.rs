//! Connections: who gets in, what is agreed, and what ends one.

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, basic, connection};
use amq_protocol::types::AMQPValue;

use crate::support::{Answer, Connection, Login, Message, Queue, Scope, channel, connection, url};

async fn a_wrong_password_is_refused() {
    let login = Login { password: "guess".into(), ..Login::to(&url().await) };

    let refused = Connection::open(&login).await;

    refused.closes_connection(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN");
}

async fn an_unknown_user_is_refused_like_a_wrong_password() {
    let login = Login { user: "nobody".into(), ..Login::to(&url().await) };

    let refused = Connection::open(&login).await;

    refused.closes_connection(403, "ACCESS_REFUSED - Login was refused using authentication mechanism PLAIN");
}

async fn an_unknown_virtual_host_is_refused() {
    let login = Login { vhost: "nowhere".into(), ..Login::to(&url().await) };

    Connection::open(&login).await.closes_connection(530, "NOT_ALLOWED - vhost nowhere not found");
}

async fn who_speaks_another_protocol_is_told_which_one_is_spoken() {
    let stranger = Connection::greet(&Login::to(&url().await), b"GET / HT").await;

    let answer = stranger.all_bytes().await;

    // The version that the broker likes best: 0-9-1, or 1.0 with its own login since 4.0.
    assert!(
        [b"AMQP\0\0\x09\x01", b"AMQP\x03\x01\0\0"]
            .contains(&answer.as_slice().try_into().expect("eight bytes"))
    );
}

async fn the_broker_says_what_it_can_do() {
    let properties = connection().await.server_properties().await;

    let Some(AMQPValue::FieldTable(can)) = properties.inner().get("capabilities") else {
        panic!("no capabilities in {properties:?}")
    };
    for name in [
        "publisher_confirms",
        "basic.nack",
        "consumer_cancel_notify",
        "connection.blocked",
        "authentication_failure_close",
    ] {
        assert_eq!(can.inner().get(name), Some(&AMQPValue::Boolean(true)), "{name}");
    }
    assert!(matches!(properties.inner().get("product"), Some(AMQPValue::LongString(_))), "{properties:?}");
    assert!(matches!(properties.inner().get("version"), Some(AMQPValue::LongString(_))), "{properties:?}");
}

async fn the_broker_proposes_its_limits() {
    let tuned = connection().await.tuned().await;

    assert_eq!((tuned.channel_max, tuned.frame_max, tuned.heartbeat), (2047, 131_072, 60));
}

async fn larger_frames_than_proposed_cannot_be_agreed() {
    let login = Login { frame_max: 131_073, ..Login::to(&url().await) };

    let refused = Connection::open(&login).await;

    // RabbitMQ hangs up; to say why, with 530, is as good.
    let refused = refused.map(drop).expect_err("frames are too large");
    assert!([0, 530].contains(&refused.code), "{refused}");
}

async fn frames_smaller_than_a_method_cannot_be_agreed() {
    let login = Login { frame_max: 1000, ..Login::to(&url().await) };

    let refused = Connection::open(&login).await;

    let refused = refused.map(drop).expect_err("frames are too small");
    assert!([0, 530].contains(&refused.code), "{refused}");
}

async fn no_limit_at_all_cannot_be_agreed() {
    for (channel_max, frame_max) in [(0, 131_072), (2047, 0)] {
        let connection = Connection::greet(&Login::to(&url().await), b"AMQP\0\0\x09\x01").await;
        connection
            .say(connection::AMQPMethod::StartOk(connection::StartOk {
                client_properties: Default::default(),
                mechanism: "PLAIN".into(),
                response: "\0guest\0guest".into(),
                locale: "en_US".into(),
            }))
            .await;
        connection.on_zero(|method| matches!(method, connection::AMQPMethod::Tune(_))).await.done();
        let tuned = connection::TuneOk { channel_max, frame_max, heartbeat: 0 };
        connection.say(connection::AMQPMethod::TuneOk(tuned)).await;

        // RabbitMQ hangs up; to say why, with 530, is as good.
        let refused = connection.closed().await;
        assert!([0, 530].contains(&refused.code), "{refused}");
    }
}

async fn the_shortest_frames_of_the_specification_can_be_agreed() {
    let login = Login { frame_max: 4096, ..Login::to(&url().await) };
    let channel = Connection::open(&login).await.done().channel(1).await.done();
    let q = channel.declare(&Queue::nameless()).await.done().queue;

    channel.put(q.as_str(), Message::new(vec![7; 10_000])).await;

    let message = channel.take(q.as_str()).await;
    assert_eq!((message.body, message.frames), (vec![7; 10_000], 3));
}

async fn a_secret_can_be_renewed() {
    let connection = connection().await;
    let renewal = connection::UpdateSecret { new_secret: "guest".into(), reason: "it is old".into() };

    connection.say(connection::AMQPMethod::UpdateSecret(renewal)).await;

    connection.on_zero(|method| matches!(method, connection::AMQPMethod::UpdateSecretOk(_))).await.done();
    connection.channel(1).await.done();
}

async fn channel_0_is_the_connections_alone() {
    let connection = connection().await;
    let qos = AMQPClass::Basic(basic::AMQPMethod::Qos(basic::Qos::default()));

    connection.send(&[AMQPFrame::Method(0, qos)]).await;

    let text = "CHANNEL_ERROR - unexpected method in connection state running";
    connection.closed().await.closes_connection(504, text);
}

async fn a_heartbeat_of_a_channel_ends_the_connection() {
    let channel = channel().await;

    channel.connection().send_bytes(b"\x08\0\x01\0\0\0\0\xce").await;

    channel.closed().await.closes_connection(505, "UNEXPECTED_FRAME");
}

async fn no_more_channels_can_be_opened_than_agreed() {
    let login = Login { channel_max: 2, ..Login::to(&url().await) };
    let connection = Connection::open(&login).await.done();
    for id in [1, 2] {
        connection.channel(id).await.done();
    }

    connection.channel(3).await.map(drop).closes_connection(530, "NOT_ALLOWED");
}

async fn a_closed_channel_makes_room_for_another() {
    let login = Login { channel_max: 1, ..Login::to(&url().await) };
    let connection = Connection::open(&login).await.done();

    connection.channel(1).await.done().close().await.done();

    connection.channel(1).await.done().settle().await;
}

async fn the_broker_sends_heartbeats_while_nothing_else_is_said() {
    let login = Login { heartbeat: 1, ..Login::to(&url().await) };
    let connection = Connection::open(&login).await.done();

    connection.heartbeat().await;
    connection.send(&[AMQPFrame::Heartbeat]).await;
    connection.heartbeat().await;
    connection.send(&[AMQPFrame::Heartbeat]).await;

    connection.channel(1).await.done();
}

async fn a_client_that_sends_no_heartbeats_is_given_up() {
    let login = Login { heartbeat: 1, ..Login::to(&url().await) };
    let connection = Connection::open(&login).await.done();

    connection.closed().await.closes_connection(0, "hung up");
}

async fn a_larger_frame_than_agreed_ends_the_connection() {
    let login = Login { frame_max: 8192, ..Login::to(&url().await) };
    let connection = Connection::open(&login).await.done();
    let channel = connection.channel(1).await.done();

    channel.publish("amq.direct", "key", Message::new(vec![0; 8192 - 8])).await;
    channel.settle().await;
    // RabbitMQ forgives those who do not count what is around the content.
    connection.send(&[AMQPFrame::Body(1, vec![0; 8193])]).await;

    channel.closed().await.closes_connection(501, "FRAME_ERROR");
}

async fn a_frame_without_its_end_ends_the_connection() {
    let channel = channel().await;

    channel.connection().send_bytes(b"\x01\0\x01\0\0\0\x04\0\x14\0\x0a\x00").await;

    channel.closed().await.closes_connection(501, "FRAME_ERROR");
}

async fn a_method_that_nobody_knows_ends_the_connection() {
    let channel = channel().await;

    channel.connection().send_bytes(b"\x01\0\x01\0\0\0\x04\0\x63\0\x0a\xce").await;

    // RabbitMQ hangs up, or says that this is not implemented.
    assert_eq!(channel.closed().await.scope, Scope::Connection);
}

async fn a_goodbye_is_answered() {
    let connection = connection().await;

    connection.channel(1).await.done();

    connection.close().await.done();
}

async fn an_error_of_a_connection_ends_all_its_channels() {
    let connection = connection().await;
    let (one, other) = (connection.channel(1).await.done(), connection.channel(2).await.done());

    connection.say(connection::AMQPMethod::OpenOk(connection::OpenOk {})).await;

    let closed = one.closed().await;
    assert_eq!(closed.code, 504, "{closed}");
    assert_eq!(other.closed().await, closed);
}

warren::stories! {
    on any broker:
        a_wrong_password_is_refused,
        an_unknown_user_is_refused_like_a_wrong_password,
        an_unknown_virtual_host_is_refused,
        who_speaks_another_protocol_is_told_which_one_is_spoken,
        the_broker_says_what_it_can_do,
        the_broker_proposes_its_limits,
        larger_frames_than_proposed_cannot_be_agreed,
        frames_smaller_than_a_method_cannot_be_agreed,
        no_limit_at_all_cannot_be_agreed,
        a_secret_can_be_renewed,
        channel_0_is_the_connections_alone,
        a_heartbeat_of_a_channel_ends_the_connection,
        no_more_channels_can_be_opened_than_agreed,
        a_closed_channel_makes_room_for_another,
        the_broker_sends_heartbeats_while_nothing_else_is_said,
        a_client_that_sends_no_heartbeats_is_given_up,
        a_larger_frame_than_agreed_ends_the_connection,
        a_frame_without_its_end_ends_the_connection,
        a_method_that_nobody_knows_ends_the_connection,
        a_goodbye_is_answered,
        an_error_of_a_connection_ends_all_its_channels;
    // RabbitMQ asks for longer ones since 4.1.
    on both brokers:
        the_shortest_frames_of_the_specification_can_be_agreed;
}
