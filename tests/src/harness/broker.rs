//! RabbitMQ for tests: one node shared by all, and nodes of their own for those who harm theirs.

use std::io::{self, Write};
use std::time::Instant;

use tokio::sync::{Mutex, OnceCell};

use super::Folder;
use crate::rabbit::{Keep, Node};

/// Virtual hosts made at a time: the first ones with the node, at some 25 ms each, later ones by a call of `rabbitmqctl`.
const BATCH: usize = 24;

struct Shared {
    node: Node,
    vhosts: Mutex<Vhosts>,
}

struct Vhosts {
    made: usize,
    given: usize,
}

/// Never dropped: its watchdog ends it with this process and removes its folder.
static SHARED: OnceCell<Shared> = OnceCell::const_new();

/// Gives the AMQP URL of an empty virtual host that nobody else uses, on the node that the whole suite shares.
///
/// # Panics
///
/// With one sentence that says how to get RabbitMQ, where it is not installed.
pub async fn shared_vhost() -> String {
    let Shared { node, vhosts } = SHARED.get_or_init(start_shared).await;
    let mut vhosts = vhosts.lock().await;

    if vhosts.given == vhosts.made {
        node.add_vhosts(&batch(vhosts.made)).await.unwrap_or_else(|error| panic!("{error}"));
        vhosts.made += BATCH;
    }
    vhosts.given += 1;
    node.url(&vhost(vhosts.given - 1))
}

/// Starts a node of the test's own, in its folder, with the virtual host `/`.
///
/// # Panics
///
/// With one sentence that says how to get RabbitMQ, where it is not installed.
pub async fn private_node(folder: &Folder) -> Node {
    Node::start_new(&folder.path().join("rabbitmq"), Keep::Nothing, &[])
        .await
        .unwrap_or_else(|error| panic!("{error}"))
}

async fn start_shared() -> Shared {
    // The watchdog removes the folder, so that it goes even when this process is killed.
    let folder = Folder::new().keep();
    let node = Node::prepare(&folder, Keep::Nothing, &batch(0)).unwrap_or_else(|error| panic!("{error}"));
    let begun = Instant::now();
    let server = node.start().await.unwrap_or_else(|error| panic!("{error}"));

    // Past libtest, which keeps back what a test prints.
    let (address, took) = (node.address(), begun.elapsed().as_secs_f64());
    let _ = writeln!(
        io::stderr(),
        "the suite runs on {server}, a private node at {address}, up after {took:.1} s"
    );
    Shared { node, vhosts: Mutex::new(Vhosts { made: BATCH, given: 0 }) }
}

fn batch(first: usize) -> Vec<String> {
    (first..first + BATCH).map(vhost).collect()
}

fn vhost(number: usize) -> String {
    format!("test-{number}")
}
