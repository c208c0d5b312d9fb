//! An embedded broker of the story's own, which takes orders and may be harmed.

use std::time::Duration;

use serde_json::Value;
use warren::broker::EmbeddedNode;
use warren::broker::faults::{Control, Order, Rule};
use warren::harness::{Broker, Folder, absent_node, eventually};

use super::{Answer, Channel, Connection, Login};

const PATIENCE: Duration = Duration::from_secs(20);

pub struct Own {
    node: Broker,
    _folder: Folder,
}

impl Own {
    pub async fn new() -> Self {
        Self::with(|node| node).await
    }

    /// One that is prepared differently.
    pub async fn with(prepare: impl FnOnce(EmbeddedNode) -> EmbeddedNode) -> Self {
        let folder = Folder::new();
        let Broker::Embedded(node) = absent_node(&folder) else {
            panic!("only the embedded broker takes orders")
        };
        let own = Self { node: Broker::Embedded(prepare(node)), _folder: folder };
        own.start().await;
        own
    }

    pub fn node(&self) -> &Broker {
        &self.node
    }

    /// Starts it, for the first time or again.
    pub async fn start(&self) {
        self.node().start().await.expect("it starts, also on what a killed one left");
    }

    pub fn login(&self, name: &'static str) -> Login {
        Login { name, ..Login::to(&self.node.url("/")) }
    }

    /// A new connection of this name.
    pub async fn connection(&self, name: &'static str) -> Connection {
        Connection::open(&self.login(name)).await.done()
    }

    /// A channel on a new connection of this name.
    pub async fn channel(&self, name: &'static str) -> Channel {
        self.connection(name).await.channel(1).await.done()
    }

    /// The same with confirms.
    pub async fn publisher(&self, name: &'static str) -> Channel {
        let channel = self.channel(name).await;
        channel.confirm_select().await.done();
        channel
    }

    pub fn control(&self) -> Control {
        self.node.embedded().expect("it is one").control()
    }

    pub async fn order(&self, order: Order) {
        self.control().order(&order).await.expect("it can be done");
    }

    /// Adds a rule and gives its id.
    pub async fn rule(&self, rule: Rule) -> u64 {
        self.control().rule(rule).await.expect("it makes sense")
    }

    /// Waits until a rule has fired so often.
    pub async fn fired(&self, rule: u64, times: u64) {
        self.control().wait_fired(rule, times, PATIENCE).await.expect("its moment comes");
    }

    pub async fn status(&self) -> Value {
        self.control().status().await.expect("it runs")
    }

    /// What the status says of a queue.
    pub async fn of_queue(&self, queue: &str, field: &str) -> u64 {
        let status = self.status().await;
        let queues = status["queues"].as_array().expect("it lists them");
        let found = queues.iter().find(|found| found["name"] == queue).expect("it is there");
        found[field].as_u64().expect("it is a number")
    }

    /// Waits until the broker has ended by its own hand, and starts it again.
    pub async fn crashes_and_starts_again(&self) {
        eventually(PATIENCE, "the broker ends", async || self.node().exit_status().ok_or("it runs")).await;
        self.start().await;
    }

    /// How many KiB of memory the process has.
    pub fn memory(&self) -> u64 {
        self.of_process("VmRSS:")
    }

    /// How many hundredths of a second the process has worked.
    pub fn processor_time(&self) -> u64 {
        let pid = self.node().pid().expect("it runs");
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("it runs");
        // The name, in parentheses, is followed by the state and ten figures before the two of time.
        let figures = stat.rsplit(')').next().expect("it has a name").split_whitespace().skip(11).take(2);
        figures.map(|figure| figure.parse::<u64>().expect("it is a number")).sum()
    }

    /// How many files and sockets the process has open.
    pub fn descriptors(&self) -> usize {
        let pid = self.node().pid().expect("it runs");
        std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it runs").count()
    }

    /// A figure from `/proc/…/status`.
    pub fn of_process(&self, field: &str) -> u64 {
        let pid = self.node().pid().expect("it runs");
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("every process has one");
        line.split_whitespace().next().and_then(|figure| figure.parse().ok()).expect("it is a number")
    }
}
