//! What a test wants its system to be like, before it starts.

use std::collections::BTreeMap;
use std::env;
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::Pin;

use futures_util::future::join_all;

use super::{Child, Folder, System, shared_vhost};
use crate::http::Http;
use crate::ports;
use crate::service::Service;

/// Counts the dead letters in the virtual host of an AMQP URL. The suite brings it, because only the suite looks at the
/// broker with a library of its own.
pub type DeadLetters = fn(String) -> Pin<Box<dyn Future<Output = u32> + Send>>;

enum Broker {
    Shared,
    At(String),
    Nowhere,
}

/// Builds a [`System`]: with demo data, with a gateway that asks for no tokens and hardly limits anybody, on a virtual
/// host of the shared node, if nothing else is said.
#[must_use = "a system runs once it is started"]
pub struct Setup {
    warren: PathBuf,
    dead_letters: DeadLetters,
    broker: Broker,
    parent: PathBuf,
    environment: BTreeMap<Service, BTreeMap<String, String>>,
}

impl Setup {
    /// A system of the binary `warren`.
    pub fn new(warren: impl AsRef<Path>, dead_letters: DeadLetters) -> Self {
        let environment = Service::ALL.into_iter().map(|service| (service, BTreeMap::new())).collect();
        let setup = Self {
            warren: warren.as_ref().into(),
            dead_letters,
            broker: Broker::Shared,
            parent: env::temp_dir(),
            environment,
        };
        // Tests of the services ask as whoever they like, as often as they can; those of the policies say otherwise.
        let setup =
            setup.env(Service::Gateway, "AUTH", "open").env(Service::Gateway, "RATE_LIMIT", "100000/1");
        setup.env_of_all("DEMO_DATA", "true")
    }

    /// Uses this broker instead of the shared one.
    pub fn broker(mut self, amqp_url: impl Into<String>) -> Self {
        self.broker = Broker::At(amqp_url.into());
        self
    }

    /// Uses an address where no broker will ever be.
    pub fn without_broker(mut self) -> Self {
        self.broker = Broker::Nowhere;
        self
    }

    /// Runs this one instead, such as a script that runs the binary.
    pub fn binary(mut self, warren: PathBuf) -> Self {
        self.warren = warren;
        self
    }

    /// Keeps data and logs in a folder of this one, instead of among the temporary files.
    pub fn below(mut self, parent: &Path) -> Self {
        self.parent = parent.to_owned();
        self
    }

    /// Sets a variable in the environment of one service, over the harness' own.
    pub fn env(mut self, service: Service, name: &str, value: &str) -> Self {
        self.environment.entry(service).or_default().insert(name.into(), value.into());
        self
    }

    /// Sets a variable in the environment of all services.
    pub fn env_of_all(self, name: &str, value: &str) -> Self {
        Service::ALL.into_iter().fold(self, |setup, service| setup.env(service, name, value))
    }

    /// Starts all services at once and waits until they are ready; those of the shared broker until they have it.
    ///
    /// # Panics
    ///
    /// When one does not become ready.
    pub async fn start(self) -> System {
        let has_broker = matches!(self.broker, Broker::Shared);
        let system = self.prepare().await;

        for child in system.children() {
            child.start();
        }
        join_all(system.children().map(Child::wait_ready)).await;
        if has_broker {
            system.wait_broker().await;
        }
        system
    }

    /// Gives the system its ports, folder and broker, and starts nothing.
    ///
    /// # Panics
    ///
    /// When there is no broker to be had.
    pub async fn prepare(mut self) -> System {
        let amqp_url = match std::mem::replace(&mut self.broker, Broker::Nowhere) {
            Broker::Shared => shared_vhost().await,
            Broker::At(url) => url,
            Broker::Nowhere => format!("amqp://guest:guest@127.0.0.1:{}/%2f", ports::free()),
        };
        let folder = Folder::below(&self.parent);
        let port: BTreeMap<Service, u16> =
            Service::ALL.into_iter().map(|service| (service, ports::free())).collect();
        let admin_port = ports::free();

        let mut child = |service: Service| {
            let data = folder.path().join(service.name());
            let mut environment = BTreeMap::from([
                ("HOST".into(), "127.0.0.1".into()),
                ("PORT".into(), port[&service].to_string()),
                ("ADMIN_PORT".into(), admin_port.to_string()),
                ("AMQP_URL".into(), amqp_url.clone()),
                ("USER_URL".into(), format!("http://127.0.0.1:{}", port[&Service::Users])),
                ("ORDER_URL".into(), format!("http://127.0.0.1:{}", port[&Service::Orders])),
                ("DATA_DIR".into(), data.display().to_string()),
            ]);
            environment.extend(self.environment.remove(&service).unwrap_or_default());
            let internal_port = if service == Service::Gateway { admin_port } else { port[&service] };
            let log = folder.path().join(format!("{service}.log"));
            Child::new(service, &self.warren, environment, log, (port[&service], internal_port))
        };

        let (users, orders, gateway) =
            (child(Service::Users), child(Service::Orders), child(Service::Gateway));
        let api: Http = gateway.http.clone();
        System::new(users, orders, gateway, api, amqp_url, self.dead_letters, folder)
    }
}
