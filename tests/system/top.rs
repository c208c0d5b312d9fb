//! `warren top`, as a script runs it.

use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::process::Command;
use warren::harness::{Folder, eventually, private_node};
use warren::ports;
use warren::service::Service;

use crate::support::{WARREN, queues_are_registered, system};

/// The gateway asks the services once a second at most, and hears of the broker by them.
const SEEN: Duration = Duration::from_secs(30);

async fn one_picture_shows_the_services_their_actors_and_the_broker_and_one_that_is_killed() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = system().broker(node.url("/")).start().await;
    queues_are_registered(&folder).await;
    let admin = system.gateway.internal.base();

    let whole = ["gateway ● ready", "users ● ready", "orders ● ready", "broker ● connected"];
    let shown = until_shown(admin, &whole).await;
    for text in [
        "orders ───▶ broker",
        "├ repository",
        "consumer:users.order-created",
        &format!("process {}", system.users.pid()),
        &format!("process {}", system.gateway.pid()),
    ] {
        assert!(shown.contains(text), "no {text:?} in {shown}");
    }
    assert!(!shown.contains('\x1b'), "a script wants no colours: {shown:?}");

    node.kill9();
    until_shown(admin, &["users ◐ degraded", "orders ◐ degraded", "broker ○ away", "orders ─✗ ▶ broker"])
        .await;

    node.start().await.expect("it starts on the same port and data");
    until_shown(admin, &whole).await;

    system.users.stop();
    let shown = until_shown(admin, &["users ○ silent", "last heard at"]).await;
    assert!(shown.contains("consumer:users.order-created"), "what was last heard is shown: {shown}");
    system.users.cont();
    until_shown(admin, &whole).await;
    system.finish().await;
}

async fn where_a_token_is_wanted_it_is_asked_for_by_its_name() {
    const TOKEN: &str = "correct-horse-battery-staple-0123";
    let system = system().without_broker().env(Service::Gateway, "ADMIN_TOKEN", TOKEN).start().await;
    system.expect_no_broker();
    let admin = system.gateway.internal.base();

    let without = top(admin, &[], None).await;
    let wrong = top(admin, &["--token", "wrong"], None).await;
    let given = top(admin, &["--token", TOKEN], None).await;
    let in_the_environment = top(admin, &[], Some(TOKEN)).await;

    assert_refused(&without, "wants a token: give it by --token or ADMIN_TOKEN");
    assert_refused(&wrong, "wants another token");
    for shown in [given, in_the_environment] {
        assert!(shown.status.success() && text(&shown.stdout).contains("users "), "{shown:?}");
    }
    system.finish().await;
}

async fn without_a_gateway_it_says_so_and_exits_with_1() {
    let nobody = format!("http://127.0.0.1:{}", ports::free());

    assert_refused(&top(&nobody, &[], None).await, &format!("no gateway answers at {nobody}"));
    assert_refused(&top("127.0.0.1:8081", &[], None).await, "--admin must look like http://127.0.0.1:8081");
}

/// Runs it until it shows all of this, and returns what it has shown.
async fn until_shown(admin: &str, texts: &[&str]) -> String {
    eventually(SEEN, &format!("warren top shows {texts:?}"), async || {
        let output = top(admin, &["--once"], None).await;
        assert!(output.status.success(), "{output:?}");
        let shown = text(&output.stdout);
        if texts.iter().all(|text| shown.contains(text)) { Ok(shown) } else { Err(shown) }
    })
    .await
}

async fn top(admin: &str, arguments: &[&str], token: Option<&str>) -> Output {
    let mut command = Command::new(WARREN);
    command.args(["top", "--admin", admin]).args(arguments).stdin(Stdio::null()).env_remove("ADMIN_TOKEN");
    command.envs(token.map(|token| ("ADMIN_TOKEN", token)));
    command.output().await.expect("this build's binary runs")
}

fn assert_refused(output: &Output, why: &str) {
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(output.stdout.is_empty(), "{output:?}");
    assert!(text(&output.stderr).contains(why), "{output:?}");
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

warren::stories! {
    on both brokers: one_picture_shows_the_services_their_actors_and_the_broker_and_one_that_is_killed;
    without a broker:
        where_a_token_is_wanted_it_is_asked_for_by_its_name,
        without_a_gateway_it_says_so_and_exits_with_1;
}
