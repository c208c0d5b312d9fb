//! The benchmark itself: it measures, it tells who fails, and it leaves nothing behind.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use warren::bench::load::{Expected, Job, Outcome, run};
use warren::harness::{Folder, eventually};

use crate::support::{WARREN, processes_of};

const REQUEST: &str = "GET /x HTTP/1.1\r\nHost: x\r\n\r\n";

async fn the_gateway_is_measured_and_whoever_else_is_installed() {
    let folder = Folder::new();
    let file = folder.path().join("bench.md");

    let output =
        bench(["--only", "proxies", "--quick", "--rounds", "1", "--scenario", "get-64", "--markdown"])
            .arg(&file)
            .output()
            .expect("this build's binary runs");

    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = fs::read_to_string(&file).expect("the file is written");
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), text.trim());
    for contestant in ["warren, plain", "warren, every policy"] {
        let cells = cells(&text, contestant);
        assert!(number(&cells[1]) > 10.0, "requests a second in {text}");
        assert!(number(&cells[3]) > 1.0, "processor time of each in {text}");
        assert!(number(&cells[9]) > 1.0, "memory in {text}");
        assert_eq!(cells[10], "0", "failed in {text}");
    }
    for other in ["nginx, plain", "haproxy, plain"] {
        let line = cells(&text, other);
        assert!(line[0].ends_with("not installed") || line[10] == "0", "{text}");
    }
}

async fn a_proxy_under_load_is_named_and_ends_with_the_benchmark() {
    let mut bench = bench(["--hold", "60", "--contestant", "warren-plain", "--scenario", "get-1"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("this build's binary runs");
    let mut line = String::new();
    let stdout = bench.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut line).expect("it names the process");
    let pid: u32 = line
        .split_once("process ")
        .and_then(|(_, rest)| rest.split(' ').next()?.parse().ok())
        .unwrap_or_else(|| panic!("no process in {line}"));
    assert!(fs::read_to_string(format!("/proc/{pid}/cmdline")).expect("it runs").contains("gateway"));

    // By force, so that it can tell nobody.
    kill_process(Pid::from_child(&bench), Signal::KILL).expect("it runs");
    bench.wait().expect("it is this test's child");

    eventually(Duration::from_secs(20), "the proxy ends", async || {
        match fs::read_to_string(format!("/proc/{pid}/cmdline")) {
            Ok(line) if line.contains("gateway") => Err("it runs"),
            _ => Ok(()),
        }
    })
    .await;
}

async fn ctrl_c_ends_everything_and_writes_nothing() {
    let folder = Folder::new();
    let file = folder.path().join("bench.md");
    let mut bench = bench(["--only", "proxies", "--contestant", "warren-plain", "--markdown"])
        .arg(&file)
        // What it starts is found by this.
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("this build's binary runs");
    let stderr = BufReader::new(bench.stderr.take().expect("it is piped"));
    let mut lines = stderr.lines();
    let first_figures = lines.by_ref().map_while(Result::ok).find(|line| line.starts_with("round 1 "));
    assert!(first_figures.is_some(), "it measures");

    kill_process(Pid::from_child(&bench), Signal::INT).expect("it runs");
    let status = bench.wait().expect("it is this test's child");

    assert_eq!(status.code(), Some(1));
    assert!(!file.exists());
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0, "folders are removed");
    assert_eq!(processes_of(folder.path()), Vec::<String>::new());
}

async fn an_option_that_is_none_is_explained() {
    let output = bench(["--contestant", "apache"]).output().expect("this build's binary runs");

    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("warren-plain, warren-policies, nginx"));
}

async fn an_honest_server_has_no_failures() {
    let outcome = load_on(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        true
    });

    assert_eq!(outcome.failures(), 0, "{outcome:?}");
    assert!(outcome.served > 10 && outcome.p50 > 0 && outcome.p50 <= outcome.p99, "{outcome:?}");
}

async fn an_error_status_is_a_failure_and_no_request_served() {
    let outcome = load_on(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n");
        true
    });

    assert_eq!((outcome.served, outcome.failed.len()), (0, 1), "{outcome:?}");
    assert!(outcome.failed["status 502"] > 0, "{outcome:?}");
}

async fn another_answer_than_the_upstreams_is_a_failure() {
    let outcome = load_on(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno");
        true
    });

    assert_eq!(outcome.served, 0, "{outcome:?}");
    assert!(outcome.failed["another answer than the upstream's"] > 0, "{outcome:?}");
}

async fn a_connection_that_ends_without_an_answer_is_a_failure() {
    let outcome = load_on(|_| false);

    assert_eq!(outcome.served, 0, "{outcome:?}");
    assert!(outcome.failed["connection lost"] > 0, "{outcome:?}");
}

async fn an_answer_that_is_cut_off_is_a_failure() {
    let outcome = load_on(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no");
        false
    });

    assert_eq!(outcome.served, 0, "{outcome:?}");
    assert!(outcome.failed["cut off in the answer"] > 0, "{outcome:?}");
}

async fn a_request_that_is_never_answered_is_a_failure() {
    let outcome = load_on(|_| true);

    assert_eq!((outcome.served, outcome.failed.get("no answer")), (0, Some(&4)), "{outcome:?}");
}

async fn a_server_that_closes_after_its_answer_loses_nothing() {
    let outcome = load_on(|stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok");
        false
    });

    assert_eq!(outcome.failures(), 0, "{outcome:?}");
    assert!(outcome.served > 4, "{outcome:?}");
}

async fn a_server_that_is_not_there_is_a_failure() {
    let nobody = warren::ports::free();
    let outcome = run(&job(([127, 0, 0, 1], nobody).into())).expect("a load can be made");

    assert_eq!(outcome.served, 0);
    assert!(outcome.failed["cannot connect: connection refused"] > 0, "{outcome:?}");
}

async fn at_a_fixed_rate_a_server_that_stalls_makes_all_wait_that_were_due() {
    let server = serve(|stream| {
        thread::sleep(Duration::from_millis(100));
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").is_ok()
    });
    let job = Job { connections: 1, rate: Some(100.0), patience: Duration::from_secs(20), ..job(server) };

    let outcome = run(&job).expect("a load can be made");

    // Ten times more are due than are answered: those that wait for a connection count from when they were due.
    assert!(outcome.p99 > 150_000_000, "{outcome:?}");
}

/// What a load of 4 connections makes of a server that does this after each request; `false` ends the connection.
fn load_on(answer: impl Fn(&mut TcpStream) -> bool + Clone + Send + 'static) -> Outcome {
    run(&job(serve(answer))).expect("a load can be made")
}

fn job(address: SocketAddr) -> Job {
    Job {
        address,
        connections: 4,
        request: REQUEST.into(),
        expected: Expected::Text("ok".into()),
        rate: None,
        warm_up: Duration::from_millis(20),
        time: Duration::from_millis(300),
        patience: Duration::from_millis(200),
        watched: Vec::new(),
    }
}

fn serve(answer: impl Fn(&mut TcpStream) -> bool + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port is free");
    let address = listener.local_addr().expect("it listens");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (Ok(mut stream), answer) = (stream, answer.clone()) else { return };
            thread::spawn(move || {
                let mut request = [0; REQUEST.len()];
                while stream.read_exact(&mut request).is_ok() && answer(&mut stream) {}
            });
        }
    });
    address
}

fn bench<const N: usize>(arguments: [&str; N]) -> Command {
    let mut command = Command::new(WARREN);
    command.arg("bench").args(arguments);
    command
}

/// The cells of the row that begins with this.
fn cells(table: &str, name: &str) -> Vec<String> {
    let row = table.lines().find(|line| line.starts_with(&format!("| {name}")));
    let row = row.unwrap_or_else(|| panic!("no row of {name} in {table}"));
    row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
}

fn number(cell: &str) -> f64 {
    cell.replace(',', "").parse().unwrap_or_else(|_| panic!("{cell} is no number"))
}

warren::stories! {
    without a broker:
        the_gateway_is_measured_and_whoever_else_is_installed,
        a_proxy_under_load_is_named_and_ends_with_the_benchmark,
        ctrl_c_ends_everything_and_writes_nothing,
        an_option_that_is_none_is_explained,
        an_honest_server_has_no_failures,
        an_error_status_is_a_failure_and_no_request_served,
        another_answer_than_the_upstreams_is_a_failure,
        a_connection_that_ends_without_an_answer_is_a_failure,
        an_answer_that_is_cut_off_is_a_failure,
        a_request_that_is_never_answered_is_a_failure,
        a_server_that_closes_after_its_answer_loses_nothing,
        a_server_that_is_not_there_is_a_failure,
        at_a_fixed_rate_a_server_that_stalls_makes_all_wait_that_were_due;
}
