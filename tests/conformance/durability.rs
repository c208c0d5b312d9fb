//! What is left when a broker was stopped or killed and started again. Each story has a broker of its own.

use std::time::Duration;

use tokio::time::{sleep, timeout};
use warren::harness::{BrokerKind, Folder, current_broker, eventually, private_node};

use crate::support::{Answer, Channel, Connection, Exchange, Login, Message, Queue};

/// RabbitMQ 3.10 writes the list of its quorum queues three seconds late. One that is younger when the node is killed comes
/// back without its log, and never has a leader again.
const RABBITMQ_REMEMBERS: Duration = Duration::from_secs(4);

async fn what_is_durable_outlives_an_orderly_stop() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let url = node.url("/");
    fill(&url).await;

    node.shut_down().await;
    node.start().await.expect("it starts on the same data");

    check(&url).await;
}

async fn what_is_durable_outlives_kill_9() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let url = node.url("/");
    fill(&url).await;
    if current_broker() == BrokerKind::RabbitMq {
        sleep(RABBITMQ_REMEMBERS).await;
    }

    node.kill9();
    node.start().await.expect("it starts on the same data");

    check(&url).await;
}

async fn channel(url: &str) -> Channel {
    Connection::open(&Login::to(url)).await.done().channel(1).await.done()
}

fn persistent(body: &str) -> Message {
    Message::new(body).persistent()
}

async fn fill(url: &str) {
    let channel = channel(url).await;
    for queue in [
        Queue::named("classic"),
        Queue::named("quorum").quorum(),
        Queue::named("transient").transient(),
        Queue::named("limited").number("x-max-length", 1),
        Queue::named("short").number("x-message-ttl", 1000).dead_letters_to("dead"),
        Queue::named("dead"),
        Queue::named("deleted"),
    ] {
        channel.declare(&queue).await.done();
    }
    channel.declare_exchange(&Exchange::new("events", "topic")).await.done();
    channel.declare_exchange(&Exchange::new("rumours", "fanout").transient()).await.done();
    channel.bind("classic", "events", "order.*").await.done();
    channel.bind("quorum", "amq.fanout", "").await.done();
    channel.bind("classic", "events", "unbound").await.done();

    // Acknowledged, delivered and not acknowledged, and never delivered.
    for queue in ["classic", "quorum"] {
        for body in ["done", "in progress", "waits"] {
            assert!(channel.put(queue, persistent(body)).await);
        }
        let done = channel.get(queue).await.done().expect("it is there");
        channel.ack(done.tag).await;
        channel.settle().await;
        assert_eq!(channel.get(queue).await.done().expect("it is there").text(), "in progress");
    }
    assert!(channel.put("classic", "volatile").await);
    assert!(channel.put("transient", persistent("gone with its queue")).await);
    assert!(channel.put("deleted", persistent("gone with its queue")).await);
    assert!(
        channel.put("limited", persistent("first")).await
            && channel.put("limited", persistent("second")).await
    );
    assert!(channel.put("short", persistent("late")).await);

    channel.unbind("classic", "events", "unbound").await.done();
    channel.delete("deleted").await.done();
}

async fn check(url: &str) {
    let again = channel(url).await;

    // An acknowledgement may be lost with a killed broker: then the message comes again, flagged. Whether also what was
    // never delivered is flagged then is left open.
    let in_classic = rest(&again, "classic").await;
    assert_eq!(bodies(&in_classic), ["in progress", "waits"]);
    assert!(in_classic.iter().all(is_flagged), "{in_classic:?}");
    wait_for_leader(url, "quorum").await;
    let in_quorum = rest(&again, "quorum").await;
    let bodies = bodies(&in_quorum);
    assert!(bodies.starts_with(&["in progress", "waits", "after"]), "{bodies:?}");
    assert!(in_quorum.iter().all(is_flagged), "{in_quorum:?}");
    assert_eq!(again.take("dead").await.text(), "late");
    assert_eq!(again.take_texts("limited", 1).await, ["second"]);

    assert!(again.put_to("events", "order.created", "still bound").await);
    assert_eq!(again.take("classic").await.text(), "still bound");
    assert!(again.put_to("amq.fanout", "", "still bound").await);
    assert_eq!(again.take("quorum").await.text(), "still bound");
    assert!(again.put_to("events", "unbound", "lost").await);
    assert_eq!(again.get("classic").await.done(), None);
    again.put_all("limited", ["first", "second"]).await;
    assert_eq!(again.ask("limited").await.done().message_count, 1);

    for gone in ["transient", "deleted"] {
        channel(url).await.ask(gone).await.map(drop).closes_channel(404, "NOT_FOUND");
    }
    let rumours = channel(url).await.declare_exchange(&Exchange::new("rumours", "fanout").passive()).await;
    rumours.closes_channel(404, "NOT_FOUND");
}

/// A quorum queue elects its leader first, and RabbitMQ may leave a channel that was too early without an answer for good.
async fn wait_for_leader(url: &str, queue: &str) {
    eventually(Duration::from_secs(30), &format!("{queue} has its leader"), async || {
        let put = async { channel(url).await.put(queue, persistent("after")).await };
        match timeout(Duration::from_secs(1), put).await {
            Ok(true) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
}

/// What must be there, whether or not the acknowledged message is.
fn bodies(rest: &[(String, bool)]) -> Vec<&str> {
    rest.iter().map(|(body, _)| body.as_str()).filter(|body| *body != "done").collect()
}

/// What was delivered must be.
fn is_flagged((body, flagged): &(String, bool)) -> bool {
    ["waits", "after"].contains(&body.as_str()) || *flagged
}

/// All that a queue has, with the flag of redelivery.
async fn rest(channel: &Channel, queue: &str) -> Vec<(String, bool)> {
    let mut rest = vec![channel.take_unacknowledged(queue).await];
    while let Some(message) = channel.get(queue).await.done() {
        rest.push(message);
    }
    channel.ack_up_to(0).await;
    rest.into_iter().map(|message| (message.text(), message.redelivered)).collect()
}

warren::stories! {
    on both brokers:
        what_is_durable_outlives_an_orderly_stop,
        what_is_durable_outlives_kill_9;
}
