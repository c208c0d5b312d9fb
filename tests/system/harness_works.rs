//! The harness itself: a private broker that can be killed and leaves nothing behind.

use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use warren::harness::{BrokerKind, Folder, current_broker, eventually, private_node, shared_vhost};
use warren::note;
use warren::ports;
use warren::rabbit::preflight;

use crate::support::{Amqp, Message, Published, WARREN, processes_of};

async fn virtual_hosts_of_the_shared_node_are_apart() {
    let (one, other) = (shared_vhost().await, shared_vhost().await);
    let (one, other) = (Amqp::connect(&one).await, Amqp::connect(&other).await);

    one.declare("letters", "amq.topic", &["a.*"]).await;
    let message = Message::raw("a.b", "hello").to("amq.topic");
    let here = one.publish(&message).await;
    let there = other.publish(&message).await;

    assert_eq!((here, there), (Published::Routed, Published::Unroutable));
    assert_eq!((one.depth("letters").await, other.depth("letters").await), (Some(1), None));
}

async fn virtual_hosts_can_be_added_to_a_running_node() {
    let folder = Folder::new();
    let node = private_node(&folder).await;

    node.add_vhosts(&["one-more".into()]).await.expect("the broker takes orders");

    assert_eq!(Amqp::connect(&node.url("one-more")).await.depth("letters").await, None);
}

async fn a_killed_node_comes_back_with_its_messages_and_leaves_nothing_in_the_end() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let amqp = Amqp::connect(&node.url("/")).await;
    amqp.declare("letters", "amq.topic", &["#"]).await;
    amqp.publish(&Message::raw("a", "kept").to("amq.topic").id("7").with_header("colour", "red")).await;

    node.kill9();
    assert!(preflight(node.address()).await.is_err());
    let killed = Instant::now();
    let server = node.start().await.expect("it starts on the same port and data");
    note!("{server} came back in {:?}", killed.elapsed());

    let amqp = Amqp::connect(&node.url("/")).await;
    let message = amqp.take_many("letters", 1).await.remove(0);
    assert_eq!((message.body.as_slice(), message.header("colour").as_deref()), (&b"kept"[..], Some("red")));

    assert!(!processes_of(folder.path()).is_empty());
    drop(node);
    nothing_runs(&folder).await;
}

async fn a_stopped_node_is_silent_and_a_blocked_one_takes_connections() {
    let folder = Folder::new();
    let node = private_node(&folder).await;

    node.stop();
    let while_stopped = preflight(node.address()).await;
    node.cont();
    assert!(while_stopped.is_err());
    eventually(Duration::from_secs(5), "the node answers", async || preflight(node.address()).await).await;

    node.block_publishers().await.expect("the broker takes orders");
    let amqp = Amqp::connect(&node.url("/")).await;
    let message = Message::raw("nowhere", "late").to("amq.topic");
    let mut publish = Box::pin(amqp.publish(&message));
    let blocked = tokio::time::timeout(Duration::from_millis(500), &mut publish).await;
    node.unblock_publishers().await.expect("the broker takes orders");
    assert!(blocked.is_err());
    assert_eq!(publish.await, Published::Unroutable);
}

async fn everything_ends_with_a_launcher_that_is_killed_whether_its_broker_runs_or_is_stopped() {
    let (option, broker) = match current_broker() {
        BrokerKind::RabbitMq => ("rabbitmq", "beam.smp"),
        _ => ("embedded", "warren broker"),
    };
    for is_stopped in [false, true] {
        let folder = Folder::new();
        let port = || ports::free().to_string();
        let mut launcher = tokio::process::Command::new(WARREN)
            .args(["up", "--broker", option, "--gateway-port", &port(), "--users-port", &port()])
            .args(["--orders-port", &port(), "--admin-port", &port(), "--data"])
            .arg(folder.path())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .expect("this build's binary runs");
        let broker = eventually(Duration::from_secs(30), "broker and services run", async || {
            let processes = processes_of(folder.path());
            let find = |name: &str| processes.iter().find(|process| process.contains(name));
            match ["warren users", "warren orders", "warren gateway"].iter().all(|name| find(name).is_some())
            {
                true => find(broker).cloned().ok_or(format!("no {broker} in {processes:?}")),
                false => Err(format!("{processes:?}")),
            }
        })
        .await;
        let broker = broker.split_once(' ').and_then(|(id, _)| Pid::from_raw(id.parse().ok()?));

        if is_stopped {
            kill_process(broker.expect("a process id"), Signal::STOP).expect("the broker runs");
        }
        launcher.kill().await.expect("the launcher runs");

        nothing_runs(&folder).await;
    }
}

async fn nothing_runs(folder: &Folder) {
    eventually(Duration::from_secs(10), "nothing is left running", async || {
        let left = processes_of(folder.path());
        if left.is_empty() { Ok(()) } else { Err(left.join("; ")) }
    })
    .await;
}

warren::stories! {
    on both brokers:
        virtual_hosts_of_the_shared_node_are_apart,
        virtual_hosts_can_be_added_to_a_running_node,
        a_killed_node_comes_back_with_its_messages_and_leaves_nothing_in_the_end,
        a_stopped_node_is_silent_and_a_blocked_one_takes_connections,
        everything_ends_with_a_launcher_that_is_killed_whether_its_broker_runs_or_is_stopped;
}
