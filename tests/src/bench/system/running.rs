use std::error::Error;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use crate::Keep;
use crate::bench::process::{self, Process};
use crate::harness::BrokerKind;
use crate::http::{Answer, Http};
use crate::own_broker::Broker;
use crate::ports;
use crate::rabbit::{Installation, Server};
use crate::service::Service;

/// For whatever must become true: a start, a link, an empty outbox.
const PATIENCE: Duration = Duration::from_secs(60);

/// How often one looks.
const LOOK: Duration = Duration::from_millis(2);

/// The system, and a broker of its own: RabbitMQ where it is installed. Dropped, it ends in this order, so that nobody waits for a broker that is gone.
pub(super) struct Running {
    pub gateway: Http,
    pub users: Http,
    pub orders: Http,
    /// Such as `RabbitMQ 3.10.8`.
    pub server: Server,
    gateway_and_orders: [Process; 2],
    users_process: Option<Process>,
    pub node: Broker,
    start: Start,
}

/// How services are started.
struct Start {
    warren: PathBuf,
    folder: PathBuf,
    amqp_url: String,
    ports: [u16; 3],
    admin_port: u16,
}

impl Running {
    pub async fn start(warren: &Path, folder: &Path) -> Result<Self, Box<dyn Error>> {
        let kind = if Installation::find().is_ok() { BrokerKind::RabbitMq } else { BrokerKind::Embedded };
        let node = kind.prepare(warren, &folder.join("broker"), Keep::Data, &[])?;
        let server = node.start().await?;
        let ports = [ports::free(), ports::free(), ports::free()];
        let admin_port = ports::free();
        let start = Start {
            warren: warren.to_owned(),
            folder: folder.to_owned(),
            amqp_url: node.url("/"),
            ports,
            admin_port,
        };
        let at = |service| Http::new(format!("http://127.0.0.1:{}", start.port(service)));
        let system = Self {
            gateway: at(Service::Gateway),
            users: at(Service::Users),
            orders: at(Service::Orders),
            server,
            gateway_and_orders: [start.run(Service::Gateway)?, start.run(Service::Orders)?],
            users_process: Some(start.run(Service::Users)?),
            node,
            start,
        };
        for service in [&system.users, &system.orders, &system.gateway] {
            until("a service is ready and has its broker", async || {
                let answer = service.get("/health/ready").send().await.map_err(|error| error.to_string())?;
                if answer.json()["status"] == "ready" { Ok(()) } else { Err(answer.to_string()) }
            })
            .await?;
        }
        Ok(system)
    }

    /// The public port of a service.
    pub fn port(&self, service: Service) -> u16 {
        self.start.port(service)
    }

    /// The services' processes.
    pub fn pids(&self) -> Vec<u32> {
        self.gateway_and_orders.iter().chain(&self.users_process).map(Process::pid).collect()
    }

    /// Ends the users service and returns when it is gone.
    pub fn stop_users(&mut self) {
        self.users_process = None;
    }

    /// Starts it again, and returns when it serves.
    pub async fn restart_users(&mut self) -> Result<(), Box<dyn Error>> {
        self.users_process = Some(self.start.run(Service::Users)?);
        until("users is back", async || get(&self.users, "/health/ready").await.map(drop)).await
    }

    /// Waits until no event is on its way: the outbox is empty and every order is counted.
    pub async fn settle(&self) -> Result<(), Box<dyn Error>> {
        until("the outbox is empty", async || match self.waiting().await? {
            0 => Ok(()),
            waiting => Err(format!("{waiting} events wait")),
        })
        .await?;
        // Where the count no longer moves: events are counted within a moment.
        let mut before = self.order_count("u1").await?;
        loop {
            sleep(Duration::from_millis(300)).await;
            let now = self.order_count("u1").await?;
            if now == before {
                return Ok(());
            }
            before = now;
        }
    }

    /// How many events wait in the outbox of orders.
    pub async fn waiting(&self) -> Result<u64, String> {
        let metrics = get(&self.orders, "/metrics").await?.text();
        let line = metrics.lines().find_map(|line| line.strip_prefix("orders_outbox_pending "));
        line.and_then(|number| number.parse().ok())
            .ok_or_else(|| "no orders_outbox_pending in /metrics".to_owned())
    }

    /// How many orders of a user are known to the users service.
    pub async fn order_count(&self, user: &str) -> Result<u64, String> {
        let user = get(&self.gateway, &format!("/api/users/{user}")).await?.json();
        user["orderCount"].as_u64().ok_or_else(|| format!("no orderCount in {user}"))
    }

    /// Whether the link of orders to the broker is there.
    pub async fn is_linked(&self) -> Result<bool, String> {
        let answer = get(&self.orders, "/actors").await?.json();
        let actors = answer["actors"].as_array().cloned().unwrap_or_default();
        Ok(actors.iter().any(|actor| actor["name"] == "broker" && actor["status"] == "running"))
    }

    /// Registers somebody and returns the id.
    pub async fn register(&self, number: usize) -> Result<String, String> {
        let body = json!({ "name": format!("Customer {number}"), "email": format!("customer-{number}@example.com") });
        let answer =
            self.gateway.post("/api/users").json(&body).send().await.map_err(|error| error.to_string())?;
        id_of(&answer)
    }
}

impl Start {
    fn port(&self, service: Service) -> u16 {
        self.ports[service as usize]
    }

    fn run(&self, service: Service) -> io::Result<Process> {
        let mut command = process::command(&self.warren, None)?;
        command.arg(service.name());
        let url = |service| format!("http://127.0.0.1:{}", self.port(service));
        let data = self.folder.join(service.name());
        fs::create_dir_all(&data)?;
        command.env("HOST", "127.0.0.1").env("PORT", self.port(service).to_string());
        command.env("ADMIN_HOST", "127.0.0.1").env("ADMIN_PORT", self.admin_port.to_string());
        command.env("AMQP_URL", &self.amqp_url).env("DATA_DIR", data).env("DEMO_DATA", "true");
        command.env("USER_URL", url(Service::Users)).env("ORDER_URL", url(Service::Orders));
        command.env("AUTH", "open").env("RATE_LIMIT", "off").env("RUST_LOG", "info");
        let log =
            OpenOptions::new().create(true).append(true).open(self.folder.join(format!("{service}.log")))?;
        command.stdout(log.try_clone()?).stderr(log);
        Process::start(command)
    }
}

/// The id in the answer to a POST that made something.
pub(super) fn id_of(answer: &Answer) -> Result<String, String> {
    let json: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match (answer.status.as_u16(), json["id"].as_str()) {
        (201, Some(id)) => Ok(id.to_owned()),
        _ => Err(format!("not created: {answer}")),
    }
}

async fn get(http: &Http, path: &str) -> Result<Answer, String> {
    match http.get(path).send().await {
        Ok(answer) if answer.status == 200 => Ok(answer),
        Ok(answer) => Err(format!("GET {path}: {answer}")),
        Err(error) => Err(format!("GET {path}: {error}")),
    }
}

/// Looks again and again until it is so.
pub(super) async fn until(
    what: &str,
    mut look: impl AsyncFnMut() -> Result<(), String>,
) -> Result<(), Box<dyn Error>> {
    let begun = Instant::now();
    loop {
        match look().await {
            Ok(()) => return Ok(()),
            Err(why) if begun.elapsed() > PATIENCE => {
                return Err(format!("not within {PATIENCE:?}: {what}: {why}").into());
            }
            Err(_) => sleep(LOOK).await,
        }
    }
}
