//! Chaos itself: it injects what its plan says, finds nothing where nothing is wrong, and finds what is lost.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::BasicConsumeOptions;
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use warren::chaos::{BrokerChoice, Kind, Plan};
use warren::harness::{BrokerKind, Folder, current_broker, eventually_equal};
use warren::note;

use crate::support::{WARREN, processes_of};

/// A run of some seconds, its start and end, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(150);

async fn a_short_run_loses_and_doubles_nothing_and_says_what_it_did() {
    let folder = Folder::new();
    let file = folder.path().join("receipt.json");
    let minutes = ["--minutes", "0.3", "--seed", "7", "--rate", "60", "--only", "kill", "--only", "actor"];

    let mut command = chaos(&folder);
    command.args(minutes).arg("--json").arg(&file);
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs");

    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    note!("{text}");
    assert_eq!(output.status.code(), Some(0), "{text}{told}");
    let receipt: Value = serde_json::from_slice(&fs::read(file).expect("it is written")).expect("JSON");
    let number = |pointer: &str| receipt.pointer(pointer).and_then(Value::as_f64).unwrap_or(f64::NAN);
    assert_eq!((number("/seed"), number("/undecided")), (7.0, 0.0), "{receipt}");
    for finding in ["lost", "doubled", "wrong"] {
        assert_eq!(number(&format!("/findings/{finding}/count")), 0.0, "{receipt}");
    }
    assert!(number("/accepted") > 100.0, "{receipt}");
    assert!(number("/events") > number("/accepted") + number("/cancelled"), "{receipt}");
    let plan = Plan::new(7, Duration::from_secs(18), broker(), &[Kind::Kill, Kind::Actor]);
    assert!(plan.faults.len() >= 2, "{plan}");
    for planned in &plan.faults {
        assert!(told.contains(&planned.to_string()), "{planned} in {told}");
        assert!(text.contains(&planned.fault.kind().name()), "{planned} in {text}");
    }
    assert!(number("/recovery/p99") > 0.0, "{receipt}");
    assert!(
        number("/auditAfterKillSeconds") > 0.0 && text.contains(" and again after kill -9 "),
        "{receipt}"
    );
    let kinds = receipt["faults"].as_object().expect("by kind").values();
    let injected: u64 = kinds.filter_map(|kind| kind["count"].as_u64()).sum();
    assert_eq!(injected, plan.faults.len() as u64, "{receipt}");
    eventually_equal(Duration::from_secs(10), "what it has started", Vec::<String>::new(), async || {
        processes_of(folder.path())
    })
    .await;
}

async fn clients_notice_a_black_hole_between_the_services_and_nothing_is_lost() {
    let folder = Folder::new();
    let file = folder.path().join("receipt.json");
    let mut command = chaos(&folder);
    command.args(["--minutes", "0.2", "--seed", "2", "--rate", "60", "--only", "http-black-hole"]);
    command.arg("--json").arg(&file);
    let output = timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs");

    let (text, told) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    note!("{text}");
    assert!(told.contains("http-black-hole from gateway to orders lose"), "{told}");
    assert_eq!(output.status.code(), Some(0), "{text}{told}");
    let receipt: Value = serde_json::from_slice(&fs::read(file).expect("it is written")).expect("JSON");
    let number = |name: &str| receipt[name].as_f64().unwrap_or(f64::NAN);
    assert!(number("refused") + number("unknown") > 0.0, "{receipt}");
}

async fn what_the_broker_loses_is_found() {
    let folder = Folder::new();
    let mut command = chaos(&folder);
    command.args(["--minutes", "0.2", "--seed", "1", "--rate", "60", "--only", "kill"]);
    let mut chaos = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it runs");
    let url = broker_of(&mut chaos).await;
    let thief = tokio::spawn(async move { steal(&url, "users.order-created").await });
    let output = timeout(PATIENCE, chaos.wait_with_output()).await.expect("it ends").expect("it runs");
    thief.abort();

    let text = String::from_utf8_lossy(&output.stdout);
    note!("{text}");
    assert_eq!(output.status.code(), Some(1), "{text}");
    let lost = text.lines().find_map(|line| line.strip_prefix("lost "));
    let lost: u64 = lost.and_then(|lost| lost.trim().parse().ok()).unwrap_or_else(|| panic!("{text}"));
    assert!(lost > 0, "{text}");
    assert!(text.contains("\ndoubled           0\n"), "{text}");
    assert!(text.contains(" orders instead of "), "{text}");
    for store in ["users.redb", "orders.redb"] {
        assert!(size_below(folder.path(), store) > 0, "{store} is kept");
    }
}

async fn told_to_end_it_ends_everything_and_has_no_receipt() {
    let folder = Folder::new();
    let mut chaos = chaos(&folder)
        .args(["--minutes", "5", "--rate", "20"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    broker_of(&mut chaos).await;

    let pid = chaos.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).expect("it runs");
    kill_process(pid, Signal::TERM).expect("it runs");
    let output = timeout(PATIENCE, chaos.wait_with_output()).await.expect("it ends").expect("it runs");

    assert_eq!((output.status.code(), output.stdout.len()), (Some(2), 0));
    eventually_equal(Duration::from_secs(10), "what it has started", Vec::<String>::new(), async || {
        processes_of(folder.path())
    })
    .await;
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 0, "nothing is left behind");
}

async fn a_plan_is_printed_and_not_carried_out() {
    let arguments = ["chaos", "--plan", "--seed", "1", "--minutes", "1", "--broker", "rabbitmq"];

    let output = Command::new(WARREN).args(arguments).output().await.expect("this build's binary runs");

    let plan = Plan::new(1, Duration::from_secs(60), BrokerChoice::RabbitMq, &[]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), plan.to_string());
    assert!(output.status.success() && output.stderr.is_empty());
}

/// A run on the story's broker, with its data in this folder.
fn chaos(folder: &Folder) -> Command {
    let broker = match broker() {
        BrokerChoice::Embedded => "embedded",
        BrokerChoice::RabbitMq => "rabbitmq",
    };
    let mut command = Command::new(WARREN);
    command.args(["chaos", "--broker", broker, "--data"]).arg(folder.path()).stdin(Stdio::null());
    command
}

fn broker() -> BrokerChoice {
    match current_broker() {
        BrokerKind::Embedded => BrokerChoice::Embedded,
        BrokerKind::RabbitMq | BrokerKind::Given => BrokerChoice::RabbitMq,
    }
}

/// How large the files of this name are in a folder and those inside it.
fn size_below(folder: &Path, name: &str) -> u64 {
    let entries = fs::read_dir(folder).expect("it is there").map(|entry| entry.expect("it is there").path());
    entries
        .map(|path| match path.is_dir() {
            true => size_below(&path, name),
            false if path.ends_with(name) => fs::metadata(&path).map_or(0, |file| file.len()),
            false => 0,
        })
        .sum()
}

/// Waits until it names its broker, and reads what else it says so that it never waits for us.
async fn broker_of(chaos: &mut Child) -> String {
    let mut lines = BufReader::new(chaos.stderr.take().expect("it is piped")).lines();
    let named = async {
        while let Ok(Some(line)) = lines.next_line().await {
            if let Some((_, url)) = line.split_once(" at amqp://") {
                return format!("amqp://{url}");
            }
        }
        panic!("it names no broker");
    };
    let url = timeout(PATIENCE, named).await.expect("it starts");
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    url
}

/// Takes its share of what comes into a queue, as a second consumer that does nothing with it.
async fn steal(url: &str, queue: &str) -> lapin::Result<()> {
    let connection = Connection::connect(url, ConnectionProperties::default()).await?;
    let channel = connection.create_channel().await?;
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let mut stolen = channel.basic_consume(queue.into(), "".into(), options, FieldTable::default()).await?;
    while let Some(delivery) = stolen.next().await {
        delivery?;
    }
    Ok(())
}

warren::stories! {
    on both brokers:
        a_short_run_loses_and_doubles_nothing_and_says_what_it_did,
        what_the_broker_loses_is_found,
        told_to_end_it_ends_everything_and_has_no_receipt;
    on the embedded broker: clients_notice_a_black_hole_between_the_services_and_nothing_is_lost;
    without a broker: a_plan_is_printed_and_not_carried_out;
}
