//! `cargo up`, as a person runs it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::process::{Child, Command};
use warren::harness::{BrokerKind, Folder, current_broker, eventually, eventually_equal, shared_vhost};
use warren::http::Http;
use warren::ports;
use warren::rabbit::{Installation, preflight};
use warren::service::Service;

use crate::support::{WARREN, can_mount, queues_are_registered, system};

/// What the admin port asks for in one of the stories.
const ADMIN_TOKEN: &str = "correct battery staple";

async fn a_service_that_is_killed_is_back_and_a_signal_drains_the_system() {
    let mut up = Up::start(&["--broker", &shared_vhost().await]);
    up.wait_for("ready after").await;
    let [users] = up.processes("users runs as process")[..] else { panic!("{}", up.output()) };

    assert_eq!(told(users), ["WARREN_KEEPER=cargo up"]);

    kill_process(users, Signal::KILL).expect("users runs");
    up.wait_for("users is back as process").await;
    let [back] = up.processes("users is back as process")[..] else { panic!("{}", up.output()) };
    let [keeper, at, exit] = &told(back)[..] else { panic!("{:?}", told(back)) };
    assert_eq!((keeper.as_str(), exit.as_str()), ("WARREN_KEEPER=cargo up", "WARREN_LAST_EXIT=signal 9"));
    assert!(at.starts_with("WARREN_LAST_ENDED_AT=20") && at.ends_with('Z'), "{at}");
    let end = up.end_of_users().await;
    assert_eq!((&end["subject"], &end["cause"]), (&json!("users"), &json!("signal 9")), "{end}");
    assert!(end["endedAt"].is_string() && end["durationMs"].as_u64() > Some(0), "{end}");
    up.signal(Signal::TERM);
    let status = up.launcher.wait().await.expect("it ends");

    let output = up.output();
    assert!(status.success(), "{status}: {output}");
    assert!(
        output.contains(&format!("users (process {}) ended: signal 9", users.as_raw_nonzero())),
        "{output}"
    );
    assert!(
        output.contains(&format!("curl -X POST http://localhost:{}/api/orders", up.gateway_port)),
        "{output}"
    );
    let console = format!(
        "console  http://127.0.0.1:{0}, or in a terminal: cargo top --admin http://127.0.0.1:{0}",
        up.admin_port
    );
    assert!(output.contains(&format!("{console}; with DEMO_FAULTS=true it can break things")), "{output}");
    assert!(output.contains("asks nobody on this machine for a token"), "{output}");
    let ends = ["gateway", "users", "orders"].map(|service| format!("{service} drained: in order"));
    let ends = ends.map(|end| output.find(&end).expect(&end));
    assert!(ends[0] < ends[1] && ends[0] < ends[2], "the gateway ends first: {output}");
    assert!(!output.contains('\x1b'), "colours are for terminals: {output}");
}

async fn a_broker_that_is_killed_is_back_and_no_event_is_lost() {
    let kind = match current_broker() {
        BrokerKind::RabbitMq => "rabbitmq",
        _ => "embedded",
    };
    let mut up = Up::start_with(&["--broker", kind], &[("ADMIN_TOKEN", ADMIN_TOKEN)]);
    up.wait_for("Ctrl-C ends it").await;
    up.order_is_counted(1).await;
    queues_are_registered(&up.folder).await;
    let output = up.output();
    let line = output
        .lines()
        .find(|line| line.contains("broker: ") && line.contains("(process "))
        .expect("it says so");
    let pid = line.split_once("(process ").and_then(|(_, rest)| rest.split_once(',')?.0.parse().ok());
    assert_eq!(
        line.contains("for development, tests and demos on one machine"),
        kind == "embedded",
        "{line}"
    );

    kill_process(pid.and_then(Pid::from_raw).expect("a process id"), Signal::KILL).expect("the broker runs");
    up.wait_for("is back as process").await;

    up.order_is_counted(2).await;
    let end = up.end_of_broker().await;
    assert_eq!((&end["service"], &end["cause"]), (&json!("gateway"), &json!("signal 9")), "{end}");
    let time = |name: &str| end[name].as_str().and_then(|at| at.parse::<Timestamp>().ok()).expect(name);
    let away = time("endedAt").as_millisecond() - time("at").as_millisecond();
    assert!(away > 0 && end["durationMs"].as_i64() == Some(away), "{end}");
    up.signal(Signal::TERM);
    let status = up.launcher.wait().await.expect("it ends");
    let output = up.output();
    assert!(status.success(), "{status}: {output}");
    assert!(output.contains("asks for the token that ADMIN_TOKEN says"), "{output}");
    assert!(!output.contains(ADMIN_TOKEN), "a token is printed: {output}");
}

/// Its reason is in its log, which nobody reads who has just typed a command.
async fn why_the_embedded_broker_cannot_start_is_in_the_error() {
    let damaged = |data: &Path| {
        fs::create_dir_all(data.join("broker"))?;
        fs::write(data.join("broker/broker.redb"), "no database at all")
    };
    let in_the_way = |data: &Path| {
        fs::create_dir_all(data)?;
        fs::write(data.join("broker"), "a file is in the way")
    };
    type Spoil = dyn Fn(&Path) -> io::Result<()>;
    for (spoil, said) in [
        (&damaged as &Spoil, "the embedded broker ended at start: cannot open the broker's file"),
        (&in_the_way, "the embedded broker cannot use its folder"),
    ] {
        let folder = Folder::new();
        spoil(&folder.path().join("data")).expect("the test's folder can be written");

        let mut up = Up::run_in(folder, Command::new(WARREN), &["--broker", "embedded"], &[]);
        let status = up.launcher.wait().await.expect("it ends");

        let output = up.output();
        assert_eq!(status.code(), Some(1), "{output}");
        let last = output.lines().last().expect("it says why");
        assert!(last.starts_with("error: ") && last.contains(said), "{said}: {output}");
    }
}

/// Where RabbitMQ is installed, its folder is hidden in a mount namespace that ends with the launcher.
async fn where_nothing_is_installed_the_embedded_broker_is_taken_and_named() {
    const HIDE: &str = r#"mount -t tmpfs warren "$RABBITMQ" && export PATH=/nowhere && exec "$0" "$@""#;
    let installed = Installation::find().ok();
    if preflight((Ipv4Addr::LOCALHOST, 5672).into()).await.is_ok() {
        return eprintln!("left out: a broker listens on port 5672 of this machine, and cargo up takes it");
    }
    if installed.is_some() && !can_mount() {
        return eprintln!("left out: this machine lets nobody mount anything, so RabbitMQ cannot be hidden");
    }
    let command = match &installed {
        Some(rabbitmq) => {
            let mut command = Command::new("unshare");
            command
                .args(["--mount", "--map-root-user", "sh", "-c", HIDE, WARREN])
                .env("RABBITMQ", rabbitmq.folder());
            command
        }
        None => Command::new(WARREN),
    };

    let mut up = Up::run(command, &[], &[("AMQP_URL", "")]);
    up.wait_for("Ctrl-C ends it").await;

    let output = up.output();
    assert!(output.contains("no RabbitMQ is given, listens on port 5672 or is installed"), "{output}");
    assert!(output.contains("broker: the embedded one at amqp://"), "{output}");
    assert!(output.contains("production uses RabbitMQ"), "{output}");
    up.order_is_counted(1).await;
    up.signal(Signal::TERM);
    let status = up.launcher.wait().await.expect("it ends");
    assert!(status.success(), "{status}: {}", up.output());
}

async fn a_taken_port_is_named_with_the_option_that_changes_it() {
    let port = ports::free();
    let _taken = TcpListener::bind(("127.0.0.1", port)).expect("a free port");

    let mut up = Up::start(&["--orders-port", &port.to_string(), "--broker", "amqp://127.0.0.1"]);
    let status = up.launcher.wait().await.expect("it ends");

    assert_eq!(status.code(), Some(1));
    let output = up.output();
    assert!(output.contains(&format!("orders cannot listen on port {port}")), "{output}");
    assert!(output.contains("--orders-port"), "{output}");
}

async fn a_broker_that_is_away_is_named_when_the_system_is_ready() {
    let nowhere = format!("amqp://127.0.0.1:{}", ports::free());
    let mut up = Up::start(&["--broker", &nowhere]);

    up.wait_for("Ctrl-C ends it").await;
    up.signal(Signal::TERM);
    let status = up.launcher.wait().await.expect("it ends");

    let output = up.output();
    assert!(status.success(), "{status}: {output}");
    let ready = output.lines().find(|line| line.contains("ready after")).expect("it says so");
    for service in ["users", "orders"] {
        assert!(ready.contains(&format!("{service} is degraded: broker: away; events wait")), "{ready}");
    }
}

async fn everybody_may_come_in_unless_the_environment_or_a_file_says_otherwise() {
    let nowhere = format!("amqp://127.0.0.1:{}", ports::free());
    let folder = Folder::new();
    let file = folder.path().join("gateway.toml");
    fs::write(&file, "[limits]\nin_flight = 7\n").expect("the test's folder can be written");
    let file = file.to_str().expect("a path of ASCII");

    for (environment, status, said) in [
        (&[][..], 200, "auth     open: everybody may do everything without a token; AUTH=required"),
        (&[("AUTH", "required")][..], 401, "/api/users/sessions"),
        // By itself the gateway asks for tokens, and whoever has a file of its own has had its say.
        (&[("GATEWAY_CONFIG", file)][..], 401, "/api/users/sessions"),
        (&[("GATEWAY_CONFIG", file), ("AUTH", "open")][..], 200, "auth     open"),
    ] {
        let mut up = Up::start_with(&["--broker", &nowhere], environment);
        up.wait_for("Ctrl-C ends it").await;
        let api = Http::new(format!("http://127.0.0.1:{}", up.gateway_port));

        api.get("/api/users/u1").await.expect(status);

        let output = up.output();
        assert!(output.contains(said), "{environment:?}: {output}");
        assert_eq!(output.contains("event=auth_open"), status == 200, "{environment:?}: {output}");
        up.signal(Signal::TERM);
        let ended = up.launcher.wait().await.expect("it ends");
        assert!(ended.success(), "{ended}: {}", up.output());
    }
}

async fn all_that_is_wrong_with_the_environment_is_told_at_the_end_with_whose_it_is() {
    let floppy = r#"STORE must be redb or memory, not "floppy""#;
    for (environment, wrong) in [
        (&[("STORE", "floppy")][..], &[("users", floppy), ("orders", floppy)][..]),
        (
            &[("STORE", "floppy"), ("AUTH", "maybe"), ("CUSTOMERS_DEADLINE_MS", "soon")],
            &[
                ("users", floppy),
                ("orders", "CUSTOMERS_DEADLINE_MS must"),
                ("orders", floppy),
                ("gateway", "AUTH must"),
            ],
        ),
        (&[("ADMIN_TOKEN", "short")], &[("gateway", "ADMIN_TOKEN must be at least 8 characters long")]),
    ] {
        let mut up = Up::start_with(&["--broker", "amqp://127.0.0.1:1"], environment);

        let status = up.launcher.wait().await.expect("it ends");

        let output = up.output();
        assert_eq!(status.code(), Some(1), "{output}");
        let (_, end) = output.split_once("error: the environment cannot be used:\n").expect(&output);
        for (service, mistake) in wrong {
            let line = end.lines().find(|line| line.starts_with(&format!("  {service}: ")));
            assert!(line.is_some_and(|line| line.contains(mistake)), "{service}: {mistake}: {output}");
        }
        let services: BTreeSet<_> = wrong.iter().map(|(service, _)| service).collect();
        assert_eq!(end.lines().count(), services.len(), "a line for each, and nothing after: {output}");
        for confusing in ["starting it again", "signal", "ready after"] {
            assert!(!output.contains(confusing), "{confusing}: {output}");
        }
    }
}

async fn a_service_that_is_ended_while_it_starts_is_told_so_in_words() {
    let mut up = Up::start(&["--broker", "amqp://127.0.0.1:1"]);
    up.wait_for("gateway runs as process").await;

    up.signal(Signal::TERM);
    let status = up.launcher.wait().await.expect("it ends");

    let output = up.output();
    assert!(status.success(), "{status}: {output}");
    for service in ["users", "orders", "gateway"] {
        let ends = ["stopped while it started", "drained: in order"].map(|how| format!("{service} {how}"));
        assert!(ends.iter().any(|end| output.contains(end)), "{service}: {output}");
    }
}

async fn what_no_service_could_use_is_refused_with_its_name_before_anything_starts() {
    let tls = "amqps://me:secret@host";
    for (arguments, environment, said) in [
        (&["--broker", tls][..], &[][..], "--broker must start with amqp://"),
        (&["--broker", "amqp://:0"][..], &[][..], "--broker must look like"),
        (&[][..], &[("AMQP_URL", tls)][..], "AMQP_URL must start with amqp://"),
        (&["--broker", "amqp://127.0.0.1"][..], &[("HOST", "localhost")][..], "HOST must be an IP address"),
    ] {
        let mut up = Up::start_with(arguments, environment);

        let status = up.launcher.wait().await.expect("it ends");

        let output = up.output();
        assert_eq!(status.code(), Some(1), "{output}");
        assert!(output.contains(said) && !output.contains("secret"), "{output}");
        assert!(!output.contains("process"), "something was started: {output}");
    }
}

async fn a_subcommand_asks_a_running_service_whether_it_is_ready() {
    let system = system().start().await;

    for child in [&system.users, &system.orders, &system.gateway] {
        assert_eq!(health(child.service(), child.port()).await, Some(0));
    }
    assert_eq!(health(Service::Orders, ports::free()).await, Some(1));
    assert_eq!(health(Service::Gateway, ports::free()).await, Some(1));
    system.finish().await;
}

async fn health(service: Service, port: u16) -> Option<i32> {
    let mut command = Command::new(WARREN);
    command.args([service.name(), "--health"]).env("PORT", port.to_string());
    command.output().await.expect("this build's binary runs").status.code()
}

/// What a service was told of its keeper and of the process before it, in the order of the names.
fn told(process: Pid) -> Vec<String> {
    let environment = fs::read(format!("/proc/{}/environ", process.as_raw_nonzero())).expect("it runs");
    let variables = environment.split(|byte| *byte == 0).map(|it| String::from_utf8_lossy(it).into_owned());
    let mut told: Vec<_> = variables
        .filter(|it| ["WARREN_KEEPER=", "WARREN_LAST_"].iter().any(|name| it.starts_with(name)))
        .collect();
    told.sort();
    told
}

/// A launcher, with all that it prints in a file.
struct Up {
    launcher: Child,
    gateway_port: u16,
    admin_port: u16,
    users_port: u16,
    output: PathBuf,
    folder: Folder,
}

impl Up {
    /// Starts it on free ports, with `arguments` before those.
    fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[])
    }

    /// Starts it with these variables as well.
    fn start_with(arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run(Command::new(WARREN), arguments, environment)
    }

    /// Starts it by a command that ends in the binary.
    fn run(command: Command, arguments: &[&str], environment: &[(&str, &str)]) -> Self {
        Self::run_in(Folder::new(), command, arguments, environment)
    }

    /// Starts it with its data in the folder `data` of this one.
    fn run_in(
        folder: Folder,
        mut command: Command,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let output = folder.path().join("output");
        let file = File::create(&output).expect("the test's folder can be written");
        let (gateway_port, admin_port, users_port) = (ports::free(), ports::free(), ports::free());

        command
            .envs(environment.iter().copied())
            .arg("up")
            .args(arguments)
            .arg("--data")
            .arg(folder.path().join("data"));
        command.args(["--gateway-port", &gateway_port.to_string()]);
        command.args(["--admin-port", &admin_port.to_string()]);
        command.args(["--users-port", &users_port.to_string()]);
        if !arguments.contains(&"--orders-port") {
            command.args(["--orders-port", &ports::free().to_string()]);
        }
        command.stdout(file.try_clone().expect("a file can be opened twice")).stderr(file).kill_on_drop(true);
        let launcher = command.spawn().expect("this build's binary runs");
        Self { launcher, gateway_port, admin_port, users_port, output, folder }
    }

    fn output(&self) -> String {
        fs::read_to_string(&self.output).expect("the launcher prints text")
    }

    async fn wait_for(&self, text: &str) {
        eventually(Duration::from_secs(30), &format!("the launcher prints {text:?}"), async || {
            let output = self.output();
            if output.contains(text) { Ok(()) } else { Err(output) }
        })
        .await;
    }

    /// Orders for Ada and waits until so many orders of hers are counted.
    async fn order_is_counted(&self, count: i64) {
        let api = Http::new(format!("http://127.0.0.1:{}/api", self.gateway_port));
        api.post("/orders").json(&json!({ "userId": "u1", "items": ["book"] })).await.expect(201);
        let counted = async || api.get("/users/u1").await.expect(200).json()["orderCount"].as_i64();
        eventually_equal(Duration::from_secs(30), "orders of Ada", Some(count), counted).await;
    }

    /// The one end of a process that users tells of, once it answers.
    async fn end_of_users(&self) -> Value {
        let users = Http::new(format!("http://127.0.0.1:{}", self.users_port));
        eventually(Duration::from_secs(30), "users tells how its last process ended", async || {
            let answer = users.get("/timeline").send().await.map_err(|error| error.to_string())?;
            let told = answer.expect(200).json();
            let ends = told["items"].as_array().expect("a list").iter();
            let ends: Vec<_> = ends.filter(|entry| entry["kind"] == "process").collect();
            match ends[..] {
                [end] => Ok(end.clone()),
                _ => Err(told.to_string()),
            }
        })
        .await
    }

    /// The one end of the broker that the gateway tells of, on its own timeline and on the console's.
    async fn end_of_broker(&self) -> Value {
        let admin = Http::new(format!("http://127.0.0.1:{}", self.admin_port));
        let bearer = format!("Bearer {ADMIN_TOKEN}");
        eventually(Duration::from_secs(30), "the gateway tells that the broker ended", async || {
            let mut told = Vec::new();
            for path in ["/timeline", "/console/timeline?kind=process"] {
                let answer = admin.get(path).header("authorization", &bearer).send().await;
                let page = answer.map_err(|error| error.to_string())?.expect(200).json();
                let entries = page["items"].as_array().expect("a list").clone();
                told.push(entries.into_iter().filter(|it| it["subject"] == "broker").collect::<Vec<_>>());
            }
            match &told[..] {
                [own, merged] if own.len() == 1 && own == merged => Ok(own[0].clone()),
                _ => Err(format!("{told:?}")),
            }
        })
        .await
    }

    /// The process ids that the launcher prints after `text`.
    fn processes(&self, text: &str) -> Vec<Pid> {
        let output = self.output();
        let ids = output.lines().filter_map(|line| line.split_once(text)?.1.trim().parse().ok());
        ids.filter_map(Pid::from_raw).collect()
    }

    fn signal(&self, signal: Signal) {
        let pid =
            self.launcher.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("the launcher runs");
        kill_process(pid, signal).expect("the launcher runs");
    }
}

warren::stories! {
    on both brokers:
        a_broker_that_is_killed_is_back_and_no_event_is_lost,
        a_service_that_is_killed_is_back_and_a_signal_drains_the_system,
        a_subcommand_asks_a_running_service_whether_it_is_ready;
    on the embedded broker:
        where_nothing_is_installed_the_embedded_broker_is_taken_and_named;
    without a broker:
        a_taken_port_is_named_with_the_option_that_changes_it,
        a_broker_that_is_away_is_named_when_the_system_is_ready,
        everybody_may_come_in_unless_the_environment_or_a_file_says_otherwise,
        all_that_is_wrong_with_the_environment_is_told_at_the_end_with_whose_it_is,
        a_service_that_is_ended_while_it_starts_is_told_so_in_words,
        why_the_embedded_broker_cannot_start_is_in_the_error,
        what_no_service_could_use_is_refused_with_its_name_before_anything_starts;
}
