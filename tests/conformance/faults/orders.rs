//! Orders: what is carried out at once.

use std::pin::pin;
use std::time::Duration;

use amq_protocol::protocol::{AMQPClass, basic, connection};
use tokio::time::timeout;
use warren::broker::faults::{Order, Selection};
use warren::harness::eventually;

use crate::support::{Answer, Channel, Closed, Connection, Login, Message, Own, Queue};

const PATIENCE: Duration = Duration::from_secs(20);

/// Long enough for what does happen.
const MOMENT: Duration = Duration::from_millis(200);

async fn who_is_dropped_hears_no_word_and_others_go_on() {
    let own = Own::new().await;
    let (users, orders) = (own.channel("users 1").await, own.channel("orders").await);

    own.order(Order::Drop { connections: Selection::named("users") }).await;

    assert_eq!(users.connection().closed().await.code, 0);
    orders.settle().await;
    own.order(Order::Drop { connections: Selection::all() }).await;
    assert_eq!(orders.connection().closed().await.code, 0);
    own.channel("users 2").await.settle().await;
}

async fn what_a_dropped_client_did_not_acknowledge_comes_again() {
    let own = Own::new().await;
    let (users, orders) = (own.channel("users").await, own.channel("orders").await);
    orders.declare(&Queue::named("q")).await.done();
    assert!(orders.put("q", "again").await);
    users.consume("q").await.done();
    assert!(!users.delivery().await.done().redelivered);

    own.order(Order::Drop { connections: Selection::named("users") }).await;

    orders.consume("q").await.done();
    let again = orders.delivery().await.done();
    assert_eq!((again.text().as_str(), again.redelivered), ("again", true));
}

async fn new_clients_are_refused_until_they_are_accepted() {
    let own = Own::new().await;
    let old = own.channel("old").await;

    own.order(Order::Refuse { for_ms: None }).await;
    let refused = Connection::open(&own.login("new")).await;
    assert_eq!(refused.err().map(|closed: Closed| closed.code), Some(0));
    old.settle().await;
    own.order(Order::Accept).await;
    own.channel("new").await.settle().await;

    own.order(Order::Refuse { for_ms: Some(300) }).await;
    assert!(Connection::open(&own.login("new")).await.is_err());
    eventually(PATIENCE, "it accepts again", async || {
        Connection::open(&own.login("new")).await.map_err(|closed| closed.to_string())
    })
    .await;
}

async fn who_is_silenced_hears_nothing_and_afterwards_all() {
    let own = Own::new().await;
    let (users, orders) = (own.channel("users").await, own.publisher("orders").await);
    users.declare(&Queue::named("q")).await.done();
    users.consume("q").await.done();

    own.order(Order::Silence { connections: Selection::named("users"), for_ms: None }).await;
    orders.publish("", "q", "late").await;
    orders.confirm().await.done();
    users.publish("", "q", "later").await;
    assert!(!users.connection().has_heard(1).await);
    assert_eq!(own.of_queue("q", "waiting").await, 1, "what a silenced client says is not heard");

    own.order(Order::Speak).await;

    assert_eq!(users.delivery().await.done().text(), "late");
    assert_eq!(users.delivery().await.done().text(), "later");
}

async fn a_silence_ends_when_its_time_is_over() {
    let own = Own::new().await;
    let channel = own.channel("users").await;

    own.order(Order::Silence { connections: Selection::all(), for_ms: Some(300) }).await;

    channel.settle().await;
}

async fn each_silence_has_its_own_time() {
    let own = Own::new().await;
    let (users, orders) = (own.channel("users").await, own.channel("orders").await);

    own.order(Order::Silence { connections: Selection::named("users"), for_ms: None }).await;
    own.order(Order::Silence { connections: Selection::named("orders"), for_ms: Some(50) }).await;

    orders.settle().await;
    let mut settled = pin!(users.settle());
    assert!(timeout(MOMENT, &mut settled).await.is_err(), "nobody told it to speak");
    own.order(Order::Speak).await;
    settled.await;
}

async fn a_broker_that_is_silent_to_all_does_not_greet_new_clients() {
    let own = Own::new().await;
    own.order(Order::Silence { connections: Selection::all(), for_ms: None }).await;

    let login = own.login("new");
    let mut opening = pin!(Connection::open(&login));
    assert!(timeout(MOMENT, &mut opening).await.is_err(), "it was greeted");

    own.order(Order::Speak).await;
    opening.await.done();
}

async fn new_clients_of_a_silenced_name_are_silenced() {
    let own = Own::new().await;
    own.order(Order::Silence { connections: Selection::named("users"), for_ms: None }).await;

    own.channel("orders").await.settle().await;
    let users = own.connection("users").await;
    let mut opening = pin!(users.channel(1));
    assert!(timeout(MOMENT, &mut opening).await.is_err(), "it was answered");
    own.order(Order::Speak).await;
    opening.await.done();
}

async fn who_gives_a_silent_broker_up_is_gone() {
    let own = Own::new().await;
    let (users, orders) = (own.channel("users").await, own.channel("orders").await);
    orders.declare(&Queue::named("q")).await.done();
    assert!(orders.put("q", "again").await);
    users.consume("q").await.done();
    users.delivery().await.done();

    own.order(Order::Silence { connections: Selection::named("users"), for_ms: None }).await;
    drop(users);

    orders.wait_ready("q", 1).await;
}

async fn blocked_publishers_are_told_and_go_on_later_while_consumers_go_on() {
    let own = Own::new().await;
    let login = Login { heartbeat: 1, ..own.login("publisher") };
    let publisher = Connection::open(&login).await.done().channel(1).await.done();
    publisher.confirm_select().await.done();
    let consumer = own.channel("consumer").await;
    consumer.declare(&Queue::named("q")).await.done();
    consumer.consume("q").await.done();

    own.order(Order::Block).await;
    publisher.publish("", "q", "first").await;
    let blocked = publisher.connection().on_zero(is_blocked).await.done();
    let connection::AMQPMethod::Blocked(blocked) = blocked else { panic!("{blocked:?}") };
    assert_eq!(blocked.reason.as_str(), "blocked by a fault command");
    publisher.publish("", "q", "second").await;
    // As RabbitMQ, it stopped reading between the head of the first and its body.
    assert!(!consumer.connection().has_heard(1).await);
    assert_eq!(consumer.get("q").await.done(), None, "the others are served");
    beat(&publisher).await;

    own.order(Order::Unblock).await;

    publisher
        .connection()
        .on_zero(|method| matches!(method, connection::AMQPMethod::Unblocked(_)))
        .await
        .done();
    let both = consumer.deliveries(2).await;
    assert_eq!([both[0].text(), both[1].text()], ["first", "second"]);
    publisher.confirm().await.done();
    publisher.settle().await;
}

fn is_blocked(method: &connection::AMQPMethod) -> bool {
    matches!(method, connection::AMQPMethod::Blocked(_))
}

/// The client answers in kind, or it would be taken for dead.
async fn beat(channel: &Channel) {
    for _ in 0..3 {
        channel.connection().heartbeat().await;
        channel.connection().send(&[amq_protocol::frame::AMQPFrame::Heartbeat]).await;
    }
}

async fn cancelled_consumers_are_told_and_their_queue_is_free() {
    let own = Own::new().await;
    let (one, other) = (own.channel("one").await, own.channel("other").await);
    for queue in [Queue::named("q"), Queue::named("fleeting").auto_delete()] {
        one.declare(&queue).await.done();
    }
    let alone = basic::Consume { queue: "q".into(), exclusive: true, ..Default::default() };
    let tag = one.consume_as(alone.clone()).await.done();

    own.order(Order::CancelConsumers { queue: "q".into() }).await;

    assert_eq!(cancelled(&one).await, tag);
    other.consume_as(alone).await.done();

    one.consume("fleeting").await.done();
    own.order(Order::CancelConsumers { queue: "fleeting".into() }).await;
    cancelled(&one).await;
    one.ask("fleeting").await.map(drop).closes_channel(404, "NOT_FOUND");
}

async fn cancelled(channel: &Channel) -> String {
    match channel.next().await.done().method {
        AMQPClass::Basic(basic::AMQPMethod::Cancel(cancel)) => cancel.consumer_tag.to_string(),
        other => panic!("{other:?} instead of Basic.Cancel"),
    }
}

async fn channels_are_closed_with_the_words_of_the_order() {
    let own = Own::new().await;
    let (users, orders) = (own.channel("users").await, own.channel("orders").await);
    let beside = users.connection().channel(2).await.done();

    let connections = Selection::named("users");
    own.order(Order::CloseChannels { connections, code: 406, text: "because".into() }).await;

    users.closed().await.closes_channel(406, "because");
    beside.closed().await.closes_channel(406, "because");
    orders.settle().await;
    users.connection().channel(1).await.done().settle().await;
}

async fn a_broker_that_forgets_its_queues_tells_their_consumers() {
    let own = Own::new().await;
    let channel = own.channel("users").await;
    for queue in [Queue::named("classic"), Queue::named("quorum").quorum()] {
        channel.declare(&queue).await.done();
    }
    assert!(channel.put("classic", Message::new("gone").persistent()).await);
    channel.consume("quorum").await.done();

    own.order(Order::ForgetQueues).await;

    cancelled(&channel).await;
    for queue in ["classic", "quorum"] {
        own.channel("users").await.ask(queue).await.map(drop).closes_channel(404, "NOT_FOUND");
    }
    own.node().kill9();
    own.start().await;
    own.channel("users").await.ask("classic").await.map(drop).closes_channel(404, "NOT_FOUND");
}

async fn a_virtual_host_is_added() {
    let own = Own::new().await;

    own.order(Order::AddVhost { name: "more".into() }).await;

    let login = Login { vhost: "more".into(), ..own.login("") };
    Connection::open(&login).await.done().channel(1).await.done().settle().await;
}

async fn what_was_confirmed_outlives_an_ordered_crash() {
    let own = Own::new().await;
    let channel = own.channel("users").await;
    channel.declare(&Queue::named("q")).await.done();
    assert!(channel.put("q", Message::new("kept").persistent()).await);

    own.order(Order::Crash).await;
    own.crashes_and_starts_again().await;

    assert_eq!(own.channel("users").await.take("q").await.text(), "kept");
}

async fn a_time_beyond_all_times_is_for_ever() {
    let own = Own::new().await;

    own.order(Order::Refuse { for_ms: Some(u64::MAX) }).await;

    own.order(Order::Accept).await;
    own.channel("users").await.settle().await;
}

warren::stories! {
    on the embedded broker:
        who_is_dropped_hears_no_word_and_others_go_on,
        what_a_dropped_client_did_not_acknowledge_comes_again,
        new_clients_are_refused_until_they_are_accepted,
        who_is_silenced_hears_nothing_and_afterwards_all,
        a_silence_ends_when_its_time_is_over,
        each_silence_has_its_own_time,
        a_broker_that_is_silent_to_all_does_not_greet_new_clients,
        new_clients_of_a_silenced_name_are_silenced,
        who_gives_a_silent_broker_up_is_gone,
        blocked_publishers_are_told_and_go_on_later_while_consumers_go_on,
        cancelled_consumers_are_told_and_their_queue_is_free,
        channels_are_closed_with_the_words_of_the_order,
        a_broker_that_forgets_its_queues_tells_their_consumers,
        a_virtual_host_is_added,
        what_was_confirmed_outlives_an_ordered_crash,
        a_time_beyond_all_times_is_for_ever;
}
