//! Clients that mean no good, or know no better: the embedded broker stays up and serves the others.

use std::time::Duration;

use amq_protocol::frame::{AMQPContentHeader, AMQPFrame, WriteContext, gen_frame};
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic, channel, connection, queue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use warren::harness::{eventually, eventually_equal};

use crate::support::{Answer, Channel, Connection, Login, Message, Own, Queue, table, text};

const PATIENCE: Duration = Duration::from_secs(20);

/// The broker is the same process, serves, and has only this client left.
async fn all_is_well(own: &Own, pid: Option<u32>) {
    assert_eq!(own.node().pid(), pid, "it has ended");
    let channel = own.channel("other").await;
    channel.declare(&Queue::named("well")).await.done();
    assert!(channel.put("well", Message::new("well").persistent()).await);
    assert_eq!(channel.take("well").await.text(), "well");
    channel.delete("well").await.done();
    eventually_equal(PATIENCE, "connections", 1, async || {
        own.status().await["connections"].as_array().map_or(0, Vec::len)
    })
    .await;
}

fn bytes_of(frames: &[AMQPFrame]) -> Vec<u8> {
    let mut bytes = WriteContext::from(Vec::new());
    for frame in frames {
        bytes = gen_frame(frame)(bytes).expect("a frame can be written");
    }
    bytes.into_inner().0
}

fn on_zero(method: connection::AMQPMethod) -> AMQPFrame {
    AMQPFrame::Method(0, AMQPClass::Connection(method))
}

/// Each step that a client may take, as bytes. Nobody waits for an answer.
fn steps() -> Vec<Vec<u8>> {
    let start = connection::StartOk {
        client_properties: table([("a", text("b"))]),
        mechanism: "PLAIN".into(),
        response: "\0guest\0guest".into(),
        locale: "en_US".into(),
    };
    let tune = connection::TuneOk { channel_max: 100, frame_max: 8192, heartbeat: 10 };
    let open = connection::Open { virtual_host: "/".into() };
    let on_one = |method| AMQPFrame::Method(1, method);
    let declare = queue::Declare {
        queue: "f".into(),
        auto_delete: true,
        arguments: table([("x-max-length", amq_protocol::types::AMQPValue::LongInt(10))]),
        ..Default::default()
    };
    let publish = basic::Publish { routing_key: "f".into(), ..Default::default() };
    let properties = BasicProperties::default().with_delivery_mode(2).with_headers(table([("h", text("v"))]));
    let header = AMQPContentHeader { class_id: 60, body_size: 10, properties };
    let ack = basic::Ack { delivery_tag: 1, multiple: true };
    let consume = basic::Consume { queue: "f".into(), ..Default::default() };
    vec![
        b"AMQP\0\0\x09\x01".to_vec(),
        bytes_of(&[on_zero(connection::AMQPMethod::StartOk(start))]),
        bytes_of(&[
            on_zero(connection::AMQPMethod::TuneOk(tune)),
            on_zero(connection::AMQPMethod::Open(open)),
        ]),
        bytes_of(&[on_one(AMQPClass::Channel(channel::AMQPMethod::Open(channel::Open {})))]),
        bytes_of(&[on_one(AMQPClass::Queue(queue::AMQPMethod::Declare(declare)))]),
        bytes_of(&[on_one(AMQPClass::Basic(basic::AMQPMethod::Consume(consume)))]),
        bytes_of(&[
            on_one(AMQPClass::Basic(basic::AMQPMethod::Publish(publish))),
            AMQPFrame::Header(1, header),
        ]),
        bytes_of(&[AMQPFrame::Body(1, vec![1; 10])]),
        bytes_of(&[on_one(AMQPClass::Basic(basic::AMQPMethod::Ack(ack)))]),
        bytes_of(&[AMQPFrame::Heartbeat]),
        bytes_of(&[on_one(AMQPClass::Channel(channel::AMQPMethod::Close(channel::Close::default())))]),
    ]
}

/// Bytes that begin like a client and go wrong somewhere.
fn corrupted(random: &mut fastrand::Rng) -> Vec<u8> {
    let steps = steps();
    let good = random.usize(..=steps.len());
    let mut bytes = steps[..good].concat();
    let from = bytes.len();
    for _ in 0..random.usize(1..6) {
        match random.u8(..4) {
            0 => {
                let count = random.usize(..300);
                bytes.extend(std::iter::repeat_with(|| random.u8(..)).take(count));
            }
            1 => {
                // A frame in form, with anything in it.
                let count = random.usize(..60);
                let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..30)).take(count).collect();
                bytes.extend([random.u8(1..4), 0, random.u8(..3)]);
                bytes.extend((payload.len() as u32).to_be_bytes());
                bytes.extend(payload);
                bytes.push(0xce);
            }
            2 => bytes.extend(&steps[random.usize(..steps.len())]),
            _ => {
                let step = &steps[random.usize(..steps.len())];
                bytes.extend(&step[..random.usize(..=step.len())]);
            }
        }
    }
    if random.bool() && !bytes.is_empty() {
        for _ in 0..random.usize(1..4) {
            let at = random.usize(from.min(bytes.len() - 1)..bytes.len());
            bytes[at] = random.u8(..);
        }
    }
    bytes
}

async fn garbage_at_any_step_harms_nobody_else() {
    let seed = fastrand::u64(..);
    warren::note!("seed {seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    let own = Own::new().await;
    let pid = own.node().pid();

    for round in 0..600 {
        let mut socket = TcpStream::connect(own.node().address()).await.expect("it listens");
        let _ = socket.write_all(&corrupted(&mut random)).await;
        // Some wait for an answer before they go.
        if round % 3 == 0 {
            let _ = tokio::time::timeout(Duration::from_millis(20), socket.read(&mut [0; 4096])).await;
        }
        assert_eq!(own.node().exit_status(), None, "round {round} has ended it");
    }

    all_is_well(&own, pid).await;
    // Nothing that it was made to keep hinders its next start.
    own.node().kill9();
    own.start().await;
    all_is_well(&own, own.node().pid()).await;
}

async fn tables_in_tables_in_tables_harm_nobody() {
    let own = Own::new().await;
    let pid = own.node().pid();
    let deep = deep_table(15_000);

    let mut start = vec![0, 10, 0, 11];
    start.extend(&deep);
    start.extend(b"\x05PLAIN\0\0\0\x0c\0guest\0guest\x05en_US");
    let greeted = Connection::greet(&own.login(""), b"AMQP\0\0\x09\x01").await;
    greeted.send_bytes(&frame(1, 0, &start)).await;
    greeted.closed().await;

    let mut declare = vec![0, 50, 0, 10, 0, 0, 1, b'd', 2];
    declare.extend(&deep);
    own.channel("declares").await.send_and_be_refused(&frame(1, 1, &declare)).await;

    let mut header = vec![0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x20, 0];
    header.extend(&deep);
    let publishes = own.channel("publishes").await;
    publishes.say(basic::AMQPMethod::Publish(basic::Publish::default())).await;
    publishes.send_and_be_refused(&frame(2, 1, &header)).await;

    all_is_well(&own, pid).await;
}

impl Channel {
    async fn send_and_be_refused(&self, bytes: &[u8]) {
        self.connection().send_bytes(bytes).await;
        self.closed().await.closes_connection(502, "deep");
    }
}

fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.extend(channel.to_be_bytes());
    frame.extend((payload.len() as u32).to_be_bytes());
    frame.extend(payload);
    frame.push(0xce);
    frame
}

/// So many tables, each in the one before.
fn deep_table(depth: usize) -> Vec<u8> {
    let mut table = Vec::new();
    for level in 0..depth {
        // What is inside this one: a name, a kind, a length, and the next one.
        let inside = 7 * (depth - level - 1);
        table.extend((inside as u32).to_be_bytes());
        if level + 1 < depth {
            table.extend(*b"\x01aF");
        }
    }
    table
}

async fn who_takes_for_ever_to_say_who_they_are_is_closed() {
    let own = Own::new().await;
    let pid = own.node().pid();
    let mut slow = Vec::new();
    for sent in [&b""[..], b"A", b"AMQP\0\0\x09\x01", b"AMQP\0\0\x09\x01\x01\0\0"] {
        let mut socket = TcpStream::connect(own.node().address()).await.expect("it listens");
        socket.write_all(sent).await.expect("it takes a few bytes");
        slow.push(socket);
    }
    own.channel("other").await.settle().await;

    for mut socket in slow {
        let end = tokio::time::timeout(PATIENCE, socket.read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "it is still open");
    }
    all_is_well(&own, pid).await;
}

async fn who_says_no_more_but_would_listen_is_gone() {
    let own = Own::new().await;
    let pid = own.node().pid();
    let steps = steps();
    let mut socket = TcpStream::connect(own.node().address()).await.expect("it listens");
    socket.write_all(&steps[..4].concat()).await.expect("it reads");
    socket.shutdown().await.expect("it can be closed one way");

    all_is_well(&own, pid).await;
    drop(socket);
}

async fn half_a_message_is_no_message() {
    let own = Own::new().await;
    let pid = own.node().pid();
    let channel = own.channel("stops").await;
    channel.declare(&Queue::named("q")).await.done();
    let publish = basic::Publish { routing_key: "q".into(), ..Default::default() };
    let header = AMQPContentHeader { class_id: 60, body_size: 100, properties: BasicProperties::default() };
    channel.say(basic::AMQPMethod::Publish(publish)).await;
    channel.connection().send(&[AMQPFrame::Header(1, header), AMQPFrame::Body(1, vec![1; 50])]).await;
    drop(channel);

    all_is_well(&own, pid).await;
    assert_eq!(own.of_queue("q", "waiting").await, 0);
}

async fn what_was_delivered_from_a_queue_that_is_gone_can_be_acknowledged() {
    for is_deleted in [true, false] {
        let own = Own::new().await;
        let (one, other) = (own.channel("one").await, own.channel("other").await);
        one.declare(&Queue::named("q")).await.done();
        one.put_all("q", ["a", "b", "c"]).await;
        one.consume("q").await.done();
        let old = one.deliveries(3).await;

        if is_deleted {
            other.delete("q").await.done();
        } else {
            own.order(warren::broker::faults::Order::ForgetQueues).await;
        }
        other.declare(&Queue::named("q")).await.done();
        other.put_all("q", ["new"]).await;

        one.ack(old[0].tag).await;
        one.nack(old[1].tag, true).await;
        one.reject(old[2].tag, false).await;
        one.settle().await;
        assert_eq!(other.take_texts("q", 1).await, ["new"]);
        assert_eq!(other.get("q").await.done(), None);
    }
}

async fn what_was_delivered_to_a_consumer_that_is_cancelled_can_be_acknowledged_and_counts_no_more() {
    let own = Own::new().await;
    let channel = own.channel("one").await;
    channel.declare(&Queue::named("q")).await.done();
    channel.put_all("q", ["a", "b", "c"]).await;
    channel.qos(2).await.done();
    let consume = basic::Consume { queue: "q".into(), consumer_tag: "same".into(), ..Default::default() };
    channel.consume_as(consume.clone()).await.done();
    let old = channel.deliveries(2).await;
    channel.cancel("same").await.done();

    channel.consume_as(consume).await.done();
    assert_eq!(channel.delivery().await.done().text(), "c");
    for delivery in old {
        channel.ack(delivery.tag).await;
    }
    channel.put_all("q", ["d", "e"]).await;

    // The two that were acknowledged were not the new consumer's, who has room for one more only.
    assert_eq!(channel.delivery().await.done().text(), "d");
    assert!(!channel.connection().has_heard(1).await);
}

async fn a_message_that_would_go_round_for_ever_is_dropped() {
    let own = Own::new().await;
    let channel = own.channel("one").await;
    for queue in [
        Queue::named("q").quorum().number("x-delivery-limit", 1).dead_letters_to("q"),
        Queue::named("short").number("x-max-length", 1).dead_letters_to("short"),
        Queue::named("brief").number("x-message-ttl", 1).dead_letters_to("brief"),
    ] {
        channel.declare(&queue).await.done();
    }
    channel.put_all("q", ["x"]).await;
    channel.put_all("short", ["a", "b"]).await;
    channel.put_all("brief", ["x"]).await;

    for _ in 0..2 {
        let message = channel.take_unacknowledged("q").await;
        channel.nack(message.tag, true).await;
    }

    channel.wait_ready("q", 0).await;
    channel.wait_ready("short", 1).await;
    channel.wait_ready("brief", 0).await;
    all_is_well_with(&own).await;
}

async fn all_is_well_with(own: &Own) {
    own.channel("other").await.settle().await;
}

async fn what_was_rejected_before_its_queue_was_deleted_is_a_dead_letter() {
    let own = Own::new().await;
    let channel = own.channel("one").await;
    channel.declare(&Queue::named("dead")).await.done();
    channel.declare(&Queue::named("q").dead_letters_to("dead")).await.done();
    channel.put_all("q", ["x"]).await;
    let tag = channel.take_unacknowledged("q").await.tag;

    // Both at once, so that nothing is done in between.
    let reject = basic::Reject { delivery_tag: tag, requeue: false };
    let delete = queue::Delete { queue: "q".into(), ..Default::default() };
    channel
        .connection()
        .send(&[
            AMQPFrame::Method(1, AMQPClass::Basic(basic::AMQPMethod::Reject(reject))),
            AMQPFrame::Method(1, AMQPClass::Queue(queue::AMQPMethod::Delete(delete))),
        ])
        .await;

    assert_eq!(own.channel("other").await.take("dead").await.text(), "x");
}

async fn a_client_that_went_silent_is_dropped_and_one_that_listens_is_shown_that_the_broker_lives() {
    let own = Own::new().await;
    let login = Login { heartbeat: 1, ..own.login("beats") };
    let silent = Connection::open(&login).await.done();
    let beats = Connection::open(&login).await.done();

    for _ in 0..8 {
        beats.heartbeat().await;
        beats.send(&[AMQPFrame::Heartbeat]).await;
    }

    assert_eq!(silent.closed().await.code, 0);
    beats.channel(1).await.done().settle().await;
}

async fn a_client_that_sends_without_a_pause_is_shown_that_the_broker_lives() {
    let own = Own::new().await;
    let login = Login { heartbeat: 1, ..own.login("sends") };
    let channel = Connection::open(&login).await.done().channel(1).await.done();
    let publish = async {
        loop {
            channel.publish("", "nowhere", "x").await;
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };

    // It is sent over the same connection, whose bytes are read here as they come.
    let beats = async {
        eventually(PATIENCE, "a heartbeat", async || {
            if channel.connection().has_beaten().await { Ok(()) } else { Err("there was none") }
        })
        .await;
    };
    tokio::select! {
        () = beats => {}
        () = publish => {}
    }
}

warren::stories! {
    on the embedded broker:
        garbage_at_any_step_harms_nobody_else,
        tables_in_tables_in_tables_harm_nobody,
        who_takes_for_ever_to_say_who_they_are_is_closed,
        who_says_no_more_but_would_listen_is_gone,
        half_a_message_is_no_message,
        what_was_delivered_from_a_queue_that_is_gone_can_be_acknowledged,
        what_was_delivered_to_a_consumer_that_is_cancelled_can_be_acknowledged_and_counts_no_more,
        a_message_that_would_go_round_for_ever_is_dropped,
        what_was_rejected_before_its_queue_was_deleted_is_a_dead_letter,
        a_client_that_went_silent_is_dropped_and_one_that_listens_is_shown_that_the_broker_lives,
        a_client_that_sends_without_a_pause_is_shown_that_the_broker_lives;
}
