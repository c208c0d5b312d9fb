//! Other settings hold while the gateway runs; a process of its own, since a signal is for a whole process.

use std::{
    io::{BufRead, BufReader},
    process::{Child, Command, Stdio},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::{Client, Service, SettingsFile, eventually, request};

/// A gateway as people start it; ended when dropped.
struct Process {
    child: Child,
    said: Arc<Mutex<Vec<String>>>,
    file: SettingsFile,
    port: u16,
    admin_port: u16,
}

impl Process {
    fn start(settings: &str) -> Self {
        let file = SettingsFile::new(settings);
        let mut child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .env_clear()
            .envs([("PORT", "0"), ("ADMIN_PORT", "0"), ("AUTH", "open"), ("GATEWAY_HEALTH_MS", "20")])
            .env("GATEWAY_CONFIG", file.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("cargo has built the binary");
        let said = Arc::new(Mutex::new(Vec::new()));
        let (output, lines) = (child.stderr.take().expect("it is piped"), said.clone());
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                lines.lock().expect("no thread panics with it").push(line);
            }
        });
        let mut process = Self { child, said, file, port: 0, admin_port: 0 };
        for (service, which) in [("gateway ", 0), ("gateway_admin ", 1)] {
            let listening = format!("event=listening service={service}");
            eventually("it listens", || process.says(&listening).is_some());
            let line = process.says(&listening).expect("it says so");
            let port = line.rsplit('=').next().and_then(|port| port.parse().ok()).expect("a port");
            *[&mut process.port, &mut process.admin_port][which] = port;
        }
        eventually("it is ready", || process.admin("/health/ready").0 == 200);
        process
    }

    /// The first line that contains `text`.
    fn says(&self, text: &str) -> Option<String> {
        let said = self.said.lock().expect("no thread panics with it");
        said.iter().find(|line| line.contains(text)).cloned()
    }

    fn admin(&self, path: &str) -> (u16, String) {
        let mut client = Client::connect(self.admin_port).expect("the admin server listens");
        let answer = client.ask(&format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"));
        (answer.status, answer.body)
    }

    fn connect(&self) -> Client {
        Client::connect(self.port).expect("the gateway listens")
    }

    fn status(&self, call: &str) -> u16 {
        self.connect().ask(&request(&format!("{call} HTTP/1.1"))).status
    }

    /// How often new settings came into force, and how often they were refused.
    fn reloads(&self) -> [u64; 2] {
        let metrics = self.admin("/metrics").1;
        ["applied", "refused"].map(|outcome| {
            let name = format!("gateway_reloads_total{{outcome=\"{outcome}\"}} ");
            let count = metrics.lines().find_map(|line| line.strip_prefix(&name));
            count.map_or(0, |count| count.parse().expect("a whole number"))
        })
    }

    /// Has the gateway read its settings again, and waits until it has.
    fn reload(&self) {
        let before = self.reloads();
        kill_process(Pid::from_child(&self.child), Signal::HUP).expect("it runs");
        eventually("it has read its settings", || self.reloads() != before);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Fails only where it has ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Settings with one route to `urls`, and more of it.
fn settings(path: &str, urls: &[String], more: &str) -> String {
    format!(
        "{more}\n[upstreams.orders]\nurls = {urls:?}\n\n\
         [[routes]]\npath = \"{path}\"\ntarget = \"/orders\"\nupstream = \"orders\"\nbody_bytes = 10\n"
    )
}

#[test]
fn new_settings_hold_at_once_for_connections_that_are_open_too() {
    let (service, other) = (Service::ok(), Service::answering("HTTP/1.1 203 X\r\nContent-Length: 0\r\n\r\n"));
    let gateway = Process::start(&settings("/api/old", &[service.url()], "rate_limit = \"off\""));
    let mut client = gateway.connect();
    let mut ask = |lines: &str| client.ask(&request(lines)).status;
    assert_eq!((ask("GET /api/old HTTP/1.1"), ask("GET /api/new HTTP/1.1")), (200, 404));

    let limit = "[rate_limit]\nrequests = 3\nwindow = \"60s\"\nburst = 3\n[limits]\nheader_count = 10\n";
    gateway.file.write(&settings("/api/new", &[other.url()], limit));
    gateway.reload();

    assert_eq!((ask("GET /api/old HTTP/1.1"), ask("GET /api/new HTTP/1.1")), (404, 203));
    assert_eq!(
        gateway.connect().ask(&(request(&format!("GET /api/new HTTP/1.1{}", "\nx: y".repeat(10))))).status,
        431
    );
    assert_eq!((ask("GET /api/new/1 HTTP/1.1"), ask("GET /api/new/2 HTTP/1.1")), (203, 203));
    assert_eq!(ask("GET /api/new/3 HTTP/1.1"), 429);
    assert_eq!(gateway.reloads(), [1, 0]);
    let said = gateway.says("event=settings_reloaded").expect("it says what has changed");
    assert!(said.contains("/api/new"), "{said}");
}

#[test]
fn a_file_with_mistakes_changes_nothing_and_its_lines_are_told() {
    let service = Service::ok();
    let sound = settings("/api/orders", &[service.url()], "rate_limit = \"off\"");
    let gateway = Process::start(&sound);

    gateway.file.write("rate_limit = \"off\"\n\n[limits]\nin_flight = 0\nspeed = \"high\"\n");
    gateway.reload();

    assert_eq!(gateway.status("GET /api/orders"), 200, "what held goes on holding");
    assert_eq!(gateway.reloads(), [0, 1]);
    let name = gateway.file.path();
    for mistake in
        [format!("{name}:4: limits.in_flight: must be at least 1"), format!("{name}:5: limits.speed")]
    {
        let said = gateway.says(&mistake).expect("it says what is wrong, and where");
        assert!(said.contains("event=settings_refused") && said.contains("ERROR"), "{said}");
    }

    gateway.file.write("what is [this");
    gateway.reload();
    assert_eq!((gateway.status("GET /api/orders"), gateway.reloads()), (200, [0, 2]));

    gateway.file.write(&sound.replace("/api/orders", "/api/again"));
    gateway.reload();
    assert_eq!((gateway.status("GET /api/again"), gateway.reloads()), (200, [1, 2]));
}

#[test]
fn fifty_reloads_under_load_fail_no_request() {
    let services = [Service::ok(), Service::ok()];
    let [one, other] = [services[0].url(), services[1].url()];
    let choices = [vec![one.clone()], vec![one, other.clone()], vec![other]];
    let text = |round: usize| {
        let limits = format!("rate_limit = \"off\"\n[limits]\nin_flight = {}\n", 1000 + round);
        settings("/api/orders", &choices[round % choices.len()], &limits)
    };
    let gateway = Process::start(&text(0));
    let (done, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let port = gateway.port;

    thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|number| {
                let (done, answered) = (&done, &answered);
                scope.spawn(move || {
                    let ask = match number % 2 {
                        0 => request("GET /api/orders/o1 HTTP/1.1"),
                        _ => request("POST /api/orders HTTP/1.1\nContent-Length: 5") + "order",
                    };
                    let mut client = Client::connect(port).expect("the gateway listens");
                    while !done.load(Ordering::Relaxed) {
                        let answer = client.ask(&ask);
                        assert_eq!((answer.status, answer.body.as_str()), (200, "ok"), "{answer:?}");
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                })
            })
            .collect();
        for round in 1..=50 {
            let before = answered.load(Ordering::Relaxed);
            gateway.file.write(&text(round));
            gateway.reload();
            eventually("requests go on", || {
                answered.load(Ordering::Relaxed) > before || clients.iter().any(|client| client.is_finished())
            });
        }
        done.store(true, Ordering::Relaxed);
    });

    assert_eq!(gateway.reloads(), [50, 0]);
    assert!(services.iter().all(|service| service.seen().len() > 50), "both have had their share");
}
