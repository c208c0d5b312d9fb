//! RabbitMQ for tests: one node shared by all, and nodes of their own for those who harm theirs.

use std::io::{self, Write};
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::OnceCell;

use super::Folder;
use crate::rabbit::{Keep, Node};

/// More than the suite has tests. They all come into being when the node starts.
const VHOSTS: usize = 200;

/// Never dropped: its watchdog ends it with this process and removes its folder.
static SHARED: OnceCell<Node> = OnceCell::const_new();

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// Gives the AMQP URL of an empty virtual host that nobody else uses, on the node that the whole suite shares.
///
/// # Panics
///
/// With one sentence that says how to get RabbitMQ, where it is not installed.
pub async fn shared_vhost() -> String {
    let node = SHARED.get_or_init(start_shared).await;
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    assert!(number < VHOSTS, "the suite has more than {VHOSTS} tests with a broker: raise VHOSTS");
    node.url(&vhost(number))
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

async fn start_shared() -> Node {
    let vhosts: Vec<String> = (0..VHOSTS).map(vhost).collect();
    // The watchdog removes the folder, so that it goes even when this process is killed.
    let folder = Folder::new().keep();
    let node = Node::prepare(&folder, Keep::Nothing, &vhosts).unwrap_or_else(|error| panic!("{error}"));
    let server = node.start().await.unwrap_or_else(|error| panic!("{error}"));

    // Past libtest, which keeps back what a test prints.
    let _ = writeln!(io::stderr(), "the suite runs on {server}, a private node at {}", node.address());
    node
}

fn vhost(number: usize) -> String {
    format!("test-{number}")
}
