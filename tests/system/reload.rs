//! The gateway takes new settings while it works, and takes none that are wrong.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use warren::harness::{Child, System, eventually};
use warren::service::Service;

use crate::support::{Door, Habits, Shoppers, problem, seeded, system};

const ORIGIN: &str = "https://shop.example";

/// A system whose gateway reads `text`, and nothing of the policies from its environment.
async fn reading(text: &str) -> (System, PathBuf) {
    let setup = system().env(Service::Gateway, "AUTH", "").env(Service::Gateway, "RATE_LIMIT", "");
    let system = setup.prepare().await;
    let file = system.folder().path().join("gateway.toml");
    fs::write(&file, text).expect("the test's folder can be written");
    system.gateway.set_env("GATEWAY_CONFIG", file.to_str().expect("a path of ASCII"));
    system.children().for_each(Child::start);
    for child in system.children() {
        child.wait_ready().await;
    }
    system.wait_broker().await;
    (system, file)
}

/// Has the gateway read its file again, and waits until its log holds one more line with `event`.
async fn reload(gateway: &Child, event: &str) {
    let before = gateway.log_count(event);
    gateway.signal(Signal::HUP);
    eventually(Duration::from_secs(10), event, async || match gateway.log_count(event) > before {
        true => Ok(()),
        false => Err("not yet"),
    })
    .await;
}

async fn settings_change_under_load_and_no_request_fails() {
    const OPEN: &str = "rate_limit = \"off\"\n[auth]\nmode = \"open\"\n";
    let (system, file) = reading(OPEN).await;
    let shoppers = Shoppers::start(&Door::public(&system), Habits::default(), &mut seeded("reloads"));
    shoppers.wait_placed(50).await;

    for round in 0..20 {
        let other = match round % 2 {
            0 => format!("{OPEN}[limits]\nin_flight = {}\n[cors]\norigins = [\"{ORIGIN}\"]\n", 900 + round),
            _ => format!("{OPEN}[deadlines]\nwhole = \"{}s\"\n", 20 + round),
        };
        fs::write(&file, other).expect("the file can be written");
        reload(&system.gateway, "event=settings_reloaded").await;
        let answer = system.api.get("/api/users/u1").header("Origin", ORIGIN).await.expect(200);
        let allowed = answer.header("access-control-allow-origin");
        assert_eq!(allowed, (round % 2 == 0).then_some(ORIGIN), "round {round}: {answer}");
        shoppers.wait_placed(10).await;
    }

    let ledger = shoppers.go_home().await;
    ledger.print("20 reloads");
    ledger.assert_untroubled();
    ledger.audit(&system).await;
    system.finish().await;
}

async fn a_file_with_a_mistake_changes_nothing() {
    let (system, file) = reading("[auth]\nmode = \"required\"\n").await;
    problem(&system.api.get("/api/orders").await, 401, "token required");

    fs::write(&file, "[auth]\nmode = \"open\"\n\n[limits]\nin_fligt = 7\n").expect("the file can be written");
    reload(&system.gateway, "event=settings_refused").await;

    problem(&system.api.get("/api/orders").await, 401, "token required");
    assert!(
        system.gateway.log_contains("gateway.toml:5: limits.in_fligt"),
        "the log names file, line and key"
    );
    fs::remove_file(&file).expect("it was there");
    reload(&system.gateway, "event=settings_refused").await;
    problem(&system.api.get("/api/orders").await, 401, "token required");

    fs::write(&file, "[auth]\nmode = \"open\"\n").expect("the file can be written");
    reload(&system.gateway, "event=settings_reloaded").await;
    system.api.get("/api/orders").await.expect(200);
    system.finish().await;
}

warren::stories! {
    on both brokers:
        settings_change_under_load_and_no_request_fails;
    // About what the gateway says to clients, which knows no broker.
    on the embedded broker:
        a_file_with_a_mistake_changes_nothing;
}
