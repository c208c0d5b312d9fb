//! What the metrics say after something has happened, and that whoever reads them asks for what there is.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use serde_json::{Value, json};
use warren::harness::{Broker, Child, Folder, System, eventually, eventually_equal, private_node};
use warren::note;

use crate::support::{Actors, Amqp, Message, metrics_in, queues_are_registered, source::root, system};

/// Everything here takes milliseconds; a busy machine gets more.
const SOON: Duration = Duration::from_secs(20);

const ALERTS: &str = ".observability/alerts.yml";
const DASHBOARD: &str = ".observability/grafana/dashboards/warren.json";

async fn an_outage_of_the_broker_is_in_the_figures_while_it_lasts_and_afterwards() {
    let folder = Folder::new();
    let (system, node) = with_own_broker(&folder).await;
    let orders = &system.orders;
    order(&system).await;
    system.wait_outboxes_empty().await;
    for child in [&system.users, orders] {
        let figures = Figures::of(child).await;
        assert_eq!(figures.sum("actor_restarts_total", &[]), 0.0, "{}", child.service());
        assert_eq!(figures.sum("broker_connected", &[]), 1.0, "{}", child.service());
        assert_eq!(figures.sum("actor_state", &[("state", "running"), ("actor", "broker")]), 1.0);
        assert_eq!(figures.sum("outbox_oldest_seconds", &[]), 0.0, "{}", child.service());
    }
    assert_eq!(Figures::of(orders).await.sum("broker_confirms_total", &[("outcome", "confirmed")]), 1.0);

    node.kill9();
    reaches(orders, "broker_connected", &[], |value| value == 0.0).await;
    let restarts = [("actor", "broker")];
    let counted = reaches(orders, "actor_restarts_total", &restarts, |value| value >= 2.0).await;
    let told = Actors::of(orders).await.restarts("broker") as f64;
    assert!(counted <= told, "{counted} restarts are counted, and {told} are told");
    order(&system).await;
    reaches(orders, "outbox_pending", &[], |value| value == 1.0).await;
    let age = reaches(orders, "outbox_oldest_seconds", &[], |value| value > 0.0).await;
    reaches(orders, "outbox_oldest_seconds", &[], |value| value >= age + 1.0).await;
    // A younger one changes nothing about the age of the oldest.
    order(&system).await;
    reaches(orders, "outbox_pending", &[], |value| value == 2.0).await;
    assert!(Figures::of(orders).await.sum("outbox_oldest_seconds", &[]) >= age + 1.0);
    // Nor does a new process, which finds it in its store.
    orders.kill9();
    orders.restart().await;
    assert!(Figures::of(orders).await.sum("outbox_oldest_seconds", &[]) >= age + 1.0);

    node.start().await.expect("it starts on the same port and data");
    reaches(orders, "broker_connected", &[], |value| value == 1.0).await;
    reaches(orders, "outbox_pending", &[], |value| value == 0.0).await;
    reaches(orders, "outbox_oldest_seconds", &[], |value| value == 0.0).await;
    reaches(orders, "actor_state", &[("actor", "broker"), ("state", "running")], |value| value == 1.0).await;
    system.finish().await;
}

async fn the_time_in_which_the_broker_takes_nothing_is_counted_while_it_lasts_and_then_no_more() {
    let folder = Folder::new();
    let (system, node) = with_own_broker(&folder).await;
    let orders = &system.orders;
    assert_eq!(Figures::of(orders).await.sum("broker_blocked_seconds_total", &[]), 0.0);

    node.block_publishers().await.expect("the broker takes orders");
    order(&system).await;
    reaches(orders, "broker_blocked", &[], |value| value == 1.0).await;
    let blocked = reaches(orders, "broker_blocked_seconds_total", &[], |value| value > 0.0).await;
    reaches(orders, "broker_blocked_seconds_total", &[], |value| value >= blocked + 0.5).await;
    assert_eq!(Figures::of(orders).await.sum("broker_connected", &[]), 1.0, "the link stays");
    node.unblock_publishers().await.expect("the broker takes orders");
    reaches(orders, "broker_blocked", &[], |value| value == 0.0).await;

    let in_all = Figures::of(orders).await.sum("broker_blocked_seconds_total", &[]);
    system.wait_outboxes_empty().await;
    assert_eq!(Figures::of(orders).await.sum("broker_blocked_seconds_total", &[]), in_all);
    system.finish().await;
}

async fn an_event_that_comes_twice_and_one_that_cannot_be_applied_are_counted_by_their_queue() {
    const QUEUE: (&str, &str) = ("queue", "users.order-created");
    let system = system().start().await;
    let (users, amqp) = (&system.users, Amqp::connect(&system.amqp_url).await);
    let event = |body: &Value| Message::event("order.created", body).id("twice");
    let order = json!({ "id": "o1", "userId": "u1", "items": ["book"], "status": "created" });

    let figures = Figures::of(users).await;
    for outcome in ["applied", "seen_before", "not_yet", "refused"] {
        let shown = figures.samples("inbox_events_total", &[QUEUE, ("outcome", outcome)]);
        assert_eq!(shown, [0.0], "{outcome} is shown before there is any");
    }
    amqp.publish_all(&[event(&order), event(&order), Message::raw("order.created", "nonsense")]).await;

    for (outcome, expected) in [("applied", 1.0), ("seen_before", 1.0), ("refused", 1.0), ("not_yet", 0.0)] {
        reaches(users, "inbox_events_total", &[QUEUE, ("outcome", outcome)], |value| value == expected).await;
    }
    for (disposition, expected) in [("done", 2.0), ("dead", 1.0), ("retry", 0.0)] {
        let labels = [QUEUE, ("disposition", disposition)];
        reaches(users, "broker_deliveries_total", &labels, |value| value == expected).await;
    }
    let elsewhere = [("queue", "users.order-cancelled"), ("disposition", "dead")];
    assert_eq!(Figures::of(users).await.samples("broker_deliveries_total", &elsewhere), [0.0]);
    amqp.take_many("events.dead", 1).await;
    system.finish().await;
}

async fn a_service_that_is_away_is_in_the_figures_of_those_who_ask_it() {
    let system = system().start().await;
    let (gateway, orders) = (&system.gateway, &system.orders);
    let to_users = ("upstream", "users");
    order(&system).await;
    assert_eq!(Figures::of(orders).await.sum("customers_attempts_total", &[("outcome", "answered")]), 1.0);
    assert_eq!(Figures::of(gateway).await.sum("upstream_breakers", &[to_users, ("state", "closed")]), 1.0);

    system.users.kill9();
    eventually(SOON, "orders stops asking", async || {
        system.api.post("/api/orders").json(&an_order()).await.expect(503);
        let open = Figures::of(orders).await.sum("customers_breaker_open", &[]);
        if open == 1.0 { Ok(()) } else { Err("its breaker is closed") }
    })
    .await;
    eventually(SOON, "the gateway leaves users alone", async || {
        system.api.get("/api/users/u1").await.expect(503);
        let closed = Figures::of(gateway).await.sum("upstream_breakers", &[to_users, ("state", "closed")]);
        if closed == 0.0 { Ok(()) } else { Err("its breaker is closed") }
    })
    .await;
    let figures = Figures::of(gateway).await;
    assert!(figures.sum("upstream_failures_total", &[to_users, ("kind", "connect")]) >= 1.0);
    assert!(figures.sum("upstream_ejections_total", &[to_users]) >= 1.0);
    assert!(figures.sum("refused_total", &[]) >= 1.0);
    assert!(figures.sum("http_requests_total", &[("status", "503")]) >= 2.0);
    assert!(Figures::of(orders).await.sum("customers_attempts_total", &[("outcome", "failed")]) >= 1.0);

    system.users.restart().await;
    eventually(SOON, "orders asks again", async || {
        let answer = system.api.post("/api/orders").json(&an_order()).await;
        if answer.status == 201 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;
    reaches(orders, "customers_breaker_open", &[], |value| value == 0.0).await;
    reaches(gateway, "upstream_breakers", &[to_users, ("state", "closed")], |value| value == 1.0).await;
    system.wait_broker().await;
    system.finish().await;
}

async fn a_process_tells_what_the_kernel_says_of_it() {
    let system = system().start().await;

    for child in system.children() {
        let figures = Figures::of(child).await;
        let resident = figures.of_all("process_resident_memory_bytes") / 1024.0;
        let kernel = child.resident_kib() as f64;
        assert!((resident / kernel - 1.0).abs() < 0.2, "{resident} KiB instead of {kernel}");
        let (open, kernel) = (figures.of_all("process_open_fds"), child.descriptors() as f64);
        assert!((open - kernel).abs() <= 4.0, "{open} descriptors instead of {kernel}");
        assert_eq!(figures.of_all("process_threads"), child.threads() as f64);
        assert!(figures.of_all("process_max_fds") >= open);
        assert!(figures.of_all("process_cpu_seconds_total") > 0.0);
        assert_eq!(figures.of_all("warren_build_info"), 1.0);
    }
    let users = &system.users;
    let started = Figures::of(users).await.of_all("process_start_time_seconds");
    users.kill9();
    users.restart().await;
    assert!(Figures::of(users).await.of_all("process_start_time_seconds") > started, "it is another process");
    users.wait_not_degraded().await;
    system.finish().await;
}

async fn every_metric_that_a_rule_or_a_panel_asks_for_is_there() {
    let system = system().start().await;
    order(&system).await;
    // What is counted by labels that nobody knows beforehand is there once there is something to count.
    system.api.get("/api/users/nobody").await.expect(404);
    system.api.post("/api/users").body(vec![b'x'; 70_000]).await.expect(413);
    system.wait_outboxes_empty().await;
    // The gateway counts once it was asked.
    eventually(SOON, "the dead letters are counted", async || {
        let counted = Figures::of(&system.gateway).await.named("warren_dead_letters_waiting", &[]);
        if counted == [0.0] { Ok(()) } else { Err(format!("{counted:?}")) }
    })
    .await;

    let mut there = BTreeSet::from(["up".to_owned(), "ALERTS".to_owned()]);
    for child in system.children() {
        let text = Figures::of(child).await.text;
        note!("{}: {} bytes of metrics, {} lines", child.service(), text.len(), text.lines().count());
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        there.extend(samples.filter_map(|line| line.split(['{', ' ']).next()).map(str::to_owned));
    }
    let expressions = [alert_expressions(), panel_expressions()].concat();
    let mut asked = BTreeSet::new();
    for (place, expression) in &expressions {
        let names = metrics_in(expression);
        assert!(!names.is_empty(), "{place} asks for nothing: {expression}");
        for name in names {
            assert!(there.contains(&name), "{place} asks for {name}, which no service has: {expression}");
            asked.insert(name);
        }
    }
    note!("{} metrics are asked for in {} expressions", asked.len(), expressions.len());
    system.finish().await;
}

async fn what_an_expression_asks_for_is_found() {
    for (expression, names) in [
        ("up", vec!["up"]),
        (r#"sum by (job, le) (rate(a_total{b="c"}[5m])) / 2e3 > 0.5"#, vec!["a_total"]),
        (r#"histogram_quantile(0.9, {__name__=~"(a|b)_c", d!~"x{2}"}) or vector(0)"#, vec!["a_c", "b_c"]),
        ("a:b and on (c) d unless e", vec!["a:b", "d", "e"]),
        ("1 - a offset 5m", vec!["a"]),
        ("vector(1)", vec![]),
    ] {
        let found = metrics_in(expression);
        assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), names, "{expression}");
    }
}

/// Every `expr` of the alerts, by its place.
fn alert_expressions() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(ALERTS)).expect("the alerts are there");
    let mut expressions = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let Some(begun) = line.trim_start().strip_prefix("expr: ") else { continue };
        let mut expression = begun.trim_matches('\'').to_owned();
        if begun == ">-" {
            expression.clear();
            let deeper = |line: &str| line.len() - line.trim_start().len() > 8;
            while let Some((_, line)) = lines.next_if(|(_, line)| deeper(line)) {
                expression += line;
            }
        }
        expressions.push((format!("{ALERTS}:{}", number + 1), expression));
    }
    assert_eq!(expressions.len(), 7, "seven alerts");
    expressions
}

/// Every query of the dashboard, by its panel.
fn panel_expressions() -> Vec<(String, String)> {
    let text = fs::read_to_string(root().join(DASHBOARD)).expect("the dashboard is there");
    let dashboard: Value = serde_json::from_str(&text).expect("the dashboard is JSON");
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut expressions = Vec::new();
    for panel in list(&dashboard["panels"]) {
        for target in list(&panel["targets"]) {
            let expression = target["expr"].as_str().expect("a query has an expression");
            expressions.push((format!("the panel {}", panel["title"]), expression.to_owned()));
        }
    }
    for annotation in list(&dashboard["annotations"]["list"]) {
        if let Some(expression) = annotation["expr"].as_str() {
            expressions.push((format!("the annotation {}", annotation["name"]), expression.to_owned()));
        }
    }
    assert!(expressions.len() > 30, "only {} queries", expressions.len());
    expressions
}

/// What one service's metrics say at one moment.
struct Figures {
    service: &'static str,
    text: String,
}

impl Figures {
    async fn of(child: &Child) -> Self {
        let text = child.internal.get("/metrics").await.expect(200).text();
        Self { service: child.service().name(), text }
    }

    /// The sum of the samples of `<service>_<name>` that have all these labels.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.samples(name, labels).iter().sum()
    }

    fn samples(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        self.named(&format!("{}_{name}", self.service), labels)
    }

    /// The one sample of a metric that every process has.
    fn of_all(&self, name: &str) -> f64 {
        let samples = self.named(name, &[]);
        assert_eq!(samples.len(), 1, "{name} of {}", self.service);
        samples[0]
    }

    fn named(&self, name: &str, labels: &[(&str, &str)]) -> Vec<f64> {
        let of_name = self.text.lines().filter_map(|line| line.strip_prefix(name));
        let of_name = of_name.filter(|rest| rest.starts_with(['{', ' ']));
        let has_all =
            |rest: &&str| labels.iter().all(|(label, value)| rest.contains(&format!("{label}=\"{value}\"")));
        of_name
            .filter(has_all)
            .map(|rest| rest.rsplit(' ').next().unwrap_or_default().parse().expect("a number"))
            .collect()
    }
}

/// Waits until a figure is as it should be, and gives it.
async fn reaches(child: &Child, name: &str, labels: &[(&str, &str)], is_so: impl Fn(f64) -> bool) -> f64 {
    let what = format!("{} {name} {labels:?}", child.service());
    eventually(SOON, &what, async || {
        let value = Figures::of(child).await.sum(name, labels);
        if is_so(value) { Ok(value) } else { Err(value) }
    })
    .await
}

/// A system on a broker of its own, to which it comes back at once.
async fn with_own_broker(folder: &Folder) -> (System, Broker) {
    let node = private_node(folder).await;
    let system = system().broker(node.url("/")).env_of_all("BROKER_RECONNECT_MAX_MS", "100").start().await;
    system.wait_broker().await;
    queues_are_registered(folder).await;
    // The event of the demo user has left.
    eventually_equal(SOON, "events on their way", (Some(0.0), Some(0.0)), async || {
        (
            system.users.metric("users_outbox_pending").await,
            system.orders.metric("orders_outbox_pending").await,
        )
    })
    .await;
    (system, node)
}

fn an_order() -> Value {
    json!({ "userId": "u1", "items": ["book"] })
}

async fn order(system: &System) {
    system.api.post("/api/orders").json(&an_order()).await.expect(201);
}

warren::stories! {
    on both brokers:
        an_outage_of_the_broker_is_in_the_figures_while_it_lasts_and_afterwards,
        the_time_in_which_the_broker_takes_nothing_is_counted_while_it_lasts_and_then_no_more,
        an_event_that_comes_twice_and_one_that_cannot_be_applied_are_counted_by_their_queue;
    on the embedded broker:
        a_service_that_is_away_is_in_the_figures_of_those_who_ask_it,
        a_process_tells_what_the_kernel_says_of_it,
        every_metric_that_a_rule_or_a_panel_asks_for_is_there;
    without a broker:
        what_an_expression_asks_for_is_found;
}
