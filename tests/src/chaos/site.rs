//! The system, its broker and its disks: started, kept running, and ended.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::env;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::{join, join_all};
use rustix::process::Signal;
use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::disks::Disks;
use super::fault::{BrokerChoice, KEEPERS, Link};
use super::options::Options;
use super::resources::SPARING;
use crate::Keep;
use crate::broker::EmbeddedNode;
use crate::fault_proxy::FaultProxy;
use crate::harness::{Child, Folder, Setup, System};
use crate::own_broker::Broker;
use crate::rabbit::Node;
use crate::service::Service;

/// How often one looks whether a process has ended.
const LOOK: Duration = Duration::from_millis(50);

/// For a start, a link, an end.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a question to a service may take.
const ANSWER: Duration = Duration::from_secs(2);

/// All that runs. Fields end in this order: the processes before what they need.
pub(super) struct Site {
    pub system: System,
    pub broker: Broker,
    /// Between the services and the broker.
    pub network: FaultProxy,
    /// Between the services, in the order of [`Link::ALL`].
    links: Vec<FaultProxy>,
    /// Such as `RabbitMQ 3.10.8`.
    pub product: String,
    /// None where this machine lets us mount nothing.
    pub disks: Option<Disks>,
    /// Processes that ended by themselves, with how they did, and how often.
    pub ended: RefCell<BTreeMap<String, u64>>,
    /// What no fault explains.
    pub wrong: RefCell<Vec<String>>,
    /// Whom the injector is about to start again itself.
    in_hand: BTreeMap<Service, Cell<bool>>,
    broker_in_hand: Cell<bool>,
    folder: Folder,
}

impl Site {
    /// Starts everything and waits until it is ready and linked to the broker.
    pub async fn start(options: &Options) -> Result<Self, Box<dyn Error>> {
        let folder = Folder::below(&options.data.clone().unwrap_or_else(env::temp_dir));
        let warren = env::current_exe()?;
        let broker = Self::broker(options.broker, &warren, &folder.path().join("broker"))?;
        let product = broker.start().await?.to_string();
        let network = FaultProxy::before(&broker.url("/")).await?;

        let setup = Setup::new(&warren, |_| Box::pin(async { 0 }));
        let setup = setup.broker(broker.url("/")).below(folder.path()).env_of_all("DEMO_FAULTS", "true");
        let setup = setup.env_of_all("RUST_LOG", "info").env_of_all("AMQP_URL", network.url());
        let setup = SPARING.iter().fold(setup, |setup, (name, value)| setup.env_of_all(name, value));
        let data = |service: Service| folder.path().join("disks").join(service.name());
        let (users, orders) = (data(Service::Users), data(Service::Orders));
        let disks = Disks::mount(&[&users, &orders]).ok();
        let setup = match &disks {
            Some(disks) => setup
                .binary(Disks::wrapper(folder.path())?)
                .env_of_all("WARREN", &warren.display().to_string())
                .env_of_all("WARREN_DISKS", &disks.namespace())
                .env(Service::Users, "DATA_DIR", &users.display().to_string())
                .env(Service::Orders, "DATA_DIR", &orders.display().to_string()),
            None => setup,
        };
        let mut system = setup.prepare().await;
        system.is_checked_elsewhere();
        let links = Self::links(&system).await?;
        let in_hand = Service::ALL.into_iter().map(|service| (service, Cell::new(false))).collect();
        let site = Self {
            system,
            broker,
            network,
            links,
            product,
            disks,
            ended: RefCell::default(),
            wrong: RefCell::default(),
            in_hand,
            broker_in_hand: Cell::new(false),
            folder,
        };
        site.system.children().for_each(Child::start);
        site.until_ready().await?;
        Ok(site)
    }

    fn broker(choice: BrokerChoice, warren: &Path, folder: &Path) -> Result<Broker, Box<dyn Error>> {
        Ok(match choice {
            BrokerChoice::Embedded => {
                Broker::Embedded(EmbeddedNode::prepare(warren, folder, Keep::Data, &[])?)
            }
            BrokerChoice::RabbitMq => Broker::RabbitMq(Node::prepare(folder, Keep::Data, &[])?),
        })
    }

    /// Puts a network of its own between each service and those that it asks, before they start.
    async fn links(system: &System) -> io::Result<Vec<FaultProxy>> {
        let mut links = Vec::new();
        for (from, to) in Link::ALL.map(Link::ends) {
            let network = FaultProxy::before(system.child(to).http.base()).await?;
            let name = if to == Service::Users { "USER_URL" } else { "ORDER_URL" };
            system.child(from).set_env(name, network.url());
            links.push(network);
        }
        Ok(links)
    }

    /// What carries the questions of one service to another.
    pub fn link(&self, link: Link) -> &FaultProxy {
        &self.links[link as usize]
    }

    /// Where data and logs are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The data of a service, where it is on a small disk.
    pub fn disk_of(&self, service: Service) -> PathBuf {
        self.folder.path().join("disks").join(service.name())
    }

    /// Leaves data and logs where they are, for somebody to look at. It ends users and orders, so that nobody writes what is
    /// copied from a disk that is about to go.
    ///
    /// # Errors
    ///
    /// What is on the small disks cannot be copied; everything else is left.
    pub fn leave(&self) -> io::Result<()> {
        self.folder.leave();
        self.system.folder().leave();
        let Some(disks) = &self.disks else { return Ok(()) };
        for service in KEEPERS {
            self.system.child(service).kill9();
            disks.keep(&self.disk_of(service))?;
        }
        Ok(())
    }

    /// Brings back whatever ends by itself, for as long as it is polled.
    pub async fn keep(&self) {
        join(self.keep_services(), self.keep_broker()).await;
    }

    async fn keep_services(&self) {
        loop {
            for child in self.system.children() {
                if !self.in_hand[&child.service()].get()
                    && let Some(status) = child.exit_status()
                {
                    self.note_end(format!("{}: {status}", child.service()));
                    // No fault makes a service end by itself.
                    self.note_wrong(format!("{} ended by itself: {status}", child.service()));
                    child.start();
                }
            }
            sleep(LOOK).await;
        }
    }

    async fn keep_broker(&self) {
        loop {
            if !self.broker_in_hand.get()
                && let Some(status) = self.broker.exit_status()
            {
                self.note_end(format!("broker: {status}"));
                if let Err(error) = self.broker.start().await {
                    self.note_wrong(format!("the broker did not start again: {error}"));
                }
            }
            sleep(LOOK).await;
        }
    }

    fn note_end(&self, end: String) {
        *self.ended.borrow_mut().entry(end).or_default() += 1;
    }

    /// Notes what no fault explains.
    pub fn note_wrong(&self, what: String) {
        self.wrong.borrow_mut().push(what);
    }

    /// Says that the caller ends and starts this service himself, or no longer.
    pub fn take_in_hand(&self, service: Service, is_in_hand: bool) {
        self.in_hand[&service].set(is_in_hand);
    }

    /// The same of the broker.
    pub fn take_broker_in_hand(&self, is_in_hand: bool) {
        self.broker_in_hand.set(is_in_hand);
    }

    /// Sends a signal to a service, if it runs.
    pub fn signal(&self, service: Service, signal: Signal) {
        let child = self.system.child(service);
        if child.is_running() {
            child.signal(signal);
        }
    }

    /// Ends a service in good order, and notes what was not in order about it.
    pub async fn terminate(&self, service: Service) {
        self.signal(service, Signal::TERM);
        let child = self.system.child(service);
        let asked = Instant::now();
        loop {
            match child.exit_status() {
                Some(status) if status.success() => return,
                Some(status) => {
                    return self.note_wrong(format!("{service} ended with {status} on SIGTERM"));
                }
                None if !child.is_running() => {
                    return self.note_wrong(format!("{service} did not run when it should have ended"));
                }
                None if asked.elapsed() > PATIENCE => {
                    child.kill9();
                    return self.note_wrong(format!("{service} did not end within {PATIENCE:?} of SIGTERM"));
                }
                None => sleep(LOOK).await,
            }
        }
    }

    /// Whether all three are ready and none is degraded.
    pub async fn is_ready(&self) -> bool {
        let ready = self.system.children().map(Self::is_child_ready);
        join_all(ready).await.into_iter().all(|is_ready| is_ready)
    }

    /// Whether users and orders are linked to the broker.
    pub async fn is_linked(&self) -> bool {
        let ready = [&self.system.users, &self.system.orders].map(Self::is_child_ready);
        join_all(ready).await.into_iter().all(|is_ready| is_ready)
    }

    async fn is_child_ready(child: &Child) -> bool {
        let Ok(answer) = child.http.get("/health/ready").deadline(ANSWER).send().await else { return false };
        let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        answer.status.is_success() && status["status"] == "ready"
    }

    /// How many events wait in both outboxes; `None` where nobody knows.
    pub async fn waiting(&self) -> Option<u64> {
        let users = self.system.users.metric("users_outbox_pending").await?;
        let orders = self.system.orders.metric("orders_outbox_pending").await?;
        Some((users + orders) as u64)
    }

    /// Waits until everything is ready.
    ///
    /// # Errors
    ///
    /// It is not within a minute.
    pub async fn until_ready(&self) -> Result<(), String> {
        let begun = Instant::now();
        while !self.is_ready().await {
            if begun.elapsed() > PATIENCE {
                return Err(format!(
                    "the system is not ready within {PATIENCE:?}; its logs are in {}",
                    self.system.folder().path().display()
                ));
            }
            sleep(LOOK).await;
        }
        Ok(())
    }
}
