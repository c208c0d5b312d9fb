//! One trace tells of a request and of all that it caused, to whoever collects traces.

use std::fs;
use std::time::Duration;

use common::broker::{BrokerConfig, DeadLetters};
use serde_json::json;
use warren::harness::{Child, Folder, Setup, System, eventually, private_node};
use warren::service::Service;

use crate::support::{Amqp, Collected, Collector, Message, Trace, queues_are_registered, system};

const DEADLINE: Duration = Duration::from_secs(20);

const INTERNAL: u64 = 1;
const SERVER: u64 = 2;
const CLIENT: u64 = 3;
const PRODUCER: u64 = 4;
const CONSUMER: u64 = 5;

fn traced(collector: &Collector) -> Setup {
    let setup = system().env_of_all("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint());
    setup.env_of_all("OTEL_BSP_SCHEDULE_DELAY", "50")
}

async fn place(system: &System, request_id: &str) {
    let order = json!({ "userId": "u1", "items": ["book"] });
    system.api.post("/api/orders").header("x-request-id", request_id).json(&order).await.expect(201);
}

/// Whether everything of an order is there that a trace of it ends with.
fn is_whole(trace: &Trace) -> bool {
    trace.has("gateway", "POST /api/orders/*")
        && trace.has("orders", "POST /orders")
        && trace.missing_parents().is_empty()
        && trace.0.iter().any(effect)
        && trace.has("users", "GET /users/{id}")
}

/// Whether the span is the commit that an event caused.
fn effect(span: &Collected) -> bool {
    span.service == "users" && span.name.starts_with("commit ")
}

async fn one_order_is_one_trace_from_the_gateway_to_its_effect() {
    let collector = Collector::start().await;
    let system = traced(&collector).start().await;

    place(&system, "order-7").await;

    let trace = collector.trace_of("order-7", is_whole).await;
    let roots: Vec<_> = trace.0.iter().filter(|span| span.parent.is_none()).map(|span| &span.name).collect();
    assert_eq!(roots, ["POST /api/orders/*"], "{trace}");
    for (service, name, kind) in [
        ("gateway", "POST /api/orders/*", SERVER),
        ("gateway", "POST", CLIENT),
        ("orders", "POST /orders", SERVER),
        ("orders", "GET", CLIENT),
        ("users", "GET /users/{id}", SERVER),
        ("orders", "publish events:order.created", PRODUCER),
        ("users", "process users.order-created", CONSUMER),
    ] {
        let span = trace.span(service, name);
        assert_eq!((span.kind, span.failed), (kind, false), "{span:?}");
    }
    let effect = trace.0.iter().find(|span| effect(span)).expect("it is whole");
    assert_eq!(effect.kind, INTERNAL);
    let way = trace.way_up(effect);
    assert_eq!(
        way[1..],
        [
            "users process users.order-created",
            "orders publish events:order.created",
            "orders POST /orders",
            "gateway POST",
            "gateway POST /api/orders/*"
        ],
        "{trace}"
    );
    let stored = trace.0.iter().find(|span| span.service == "orders" && span.kind == INTERNAL);
    let way = trace.way_up(stored.unwrap_or_else(|| panic!("no commit in {trace}")));
    assert_eq!(way[1], "orders POST /orders", "{trace}");
    let asked = trace.way_up(trace.span("users", "GET /users/{id}"));
    assert_eq!(asked[1..3], ["orders GET", "orders POST /orders"], "{trace}");
    system.finish().await;
}

async fn spans_are_named_and_described_by_the_conventions() {
    let collector = Collector::start().await;
    let system = traced(&collector).start().await;

    place(&system, "order-7").await;
    system.api.get("/api/users/nobody").header("x-request-id", "none-7").await.expect(404);

    let trace = collector.trace_of("order-7", is_whole).await;
    let has = |service: &str, name: &str, expected: &[(&str, &str)]| {
        let span = trace.span(service, name);
        for (key, value) in expected {
            assert_eq!(span.attributes.get(*key).map(String::as_str), Some(*value), "{key} of {span:?}");
        }
        span.clone()
    };
    for (service, name, path) in
        [("gateway", "POST /api/orders/*", "/api/orders"), ("orders", "POST /orders", "/orders")]
    {
        let route = name.split(' ').nth(1).expect("a route");
        has(
            service,
            name,
            &[
                ("http.request.method", "POST"),
                ("http.route", route),
                ("http.response.status_code", "201"),
                ("url.path", path),
            ],
        );
    }
    let port = system.orders.port().to_string();
    has("gateway", "POST", &[("server.address", "127.0.0.1"), ("server.port", &port)]);
    let sent = has(
        "orders",
        "publish events:order.created",
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "send"),
            ("messaging.destination.name", "events:order.created"),
        ],
    );
    has(
        "users",
        "process users.order-created",
        &[
            ("messaging.system", "rabbitmq"),
            ("messaging.operation.type", "process"),
            ("messaging.destination.name", "events:order.created:users.order-created"),
            ("messaging.message.id", &sent.attributes["messaging.message.id"]),
            ("warren.delivery.attempt", "1"),
            ("warren.delivery.redelivered", "false"),
        ],
    );
    let none = collector.trace_of("none-7", |trace| trace.has("users", "GET /users/{id}")).await;
    // To a server, a 404 is no failure; to who asked, it is.
    let none =
        collector.trace_of("none-7", |now| now.has("gateway", "GET") && now.0.len() >= none.0.len()).await;
    assert!(!none.span("users", "GET /users/{id}").failed && none.span("gateway", "GET").failed, "{none}");
    let polled = collector.spans().into_iter().filter(|span| span.name.contains("/health"));
    assert_eq!(polled.count(), 0, "nobody keeps that somebody asked how it is");
    system.finish().await;
}

async fn the_trace_is_the_same_when_the_broker_was_killed_in_between() {
    let collector = Collector::start().await;
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = traced(&collector).broker(node.url("/")).start().await;
    queues_are_registered(&folder).await;

    node.kill9();
    place(&system, "order-7").await;
    node.start().await.expect("it starts on the same port and data");

    let trace = collector.trace_of("order-7", is_whole).await;
    let effect = trace.0.iter().find(|span| effect(span)).expect("it is whole");
    assert_eq!(
        trace.way_up(effect).last().map(String::as_str),
        Some("gateway POST /api/orders/*"),
        "{trace}"
    );
    system.finish().await;
}

async fn every_attempt_at_an_event_and_its_replay_belong_to_the_trace_that_it_came_with() {
    const CAUSE: &str = "00f067aa0ba902b7";
    let collector = Collector::start().await;
    let setup = traced(&collector).env(Service::Users, "DEMO_DATA", "false");
    let system = setup.env_of_all("BROKER_RETRY_DELAYS_MS", "50,100").start().await;
    let amqp = Amqp::connect(&system.amqp_url).await;
    let order = json!({ "id": "o1", "userId": "u1", "items": ["book"], "status": "created" });
    let event = Message::event("order.created", &order);
    let attempts = async |count: usize| {
        eventually(DEADLINE, "the attempts", async || {
            // Orders also hears of the user that is there at the second start.
            let spans = collector.spans().into_iter();
            let spans: Vec<_> = spans.filter(|span| span.name == "process users.order-created").collect();
            if spans.len() == count { Ok(spans) } else { Err(format!("{spans:?}")) }
        })
        .await
    };

    amqp.publish(
        &event.with_header("traceparent", &format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{CAUSE}-01")),
    )
    .await;
    amqp.wait_depth("events.dead", 1).await;
    let failed = attempts(3).await;
    assert!(system.users.terminate().await.success());
    system.users.set_env("DEMO_DATA", "true");
    system.users.restart().await;
    let operator = DeadLetters::new(BrokerConfig::for_url(&system.amqp_url).expect("a sound address"));
    assert_eq!(operator.replay(None).await.expect("the broker is there").replayed, 1);
    let all = attempts(4).await;

    for span in &all {
        assert_eq!(span.trace, "4bf92f3577b34da6a3ce929d0e0e4736", "{span:?}");
        assert_eq!(span.parent.as_deref(), Some(CAUSE), "{span:?}");
        assert_eq!(span.kind, CONSUMER, "{span:?}");
    }
    let number = |span: &Collected| span.attributes["warren.delivery.attempt"].clone();
    assert_eq!(failed.iter().map(number).collect::<Vec<_>>(), ["1", "2", "3"]);
    assert!(failed.iter().all(|span| span.failed) && !all[3].failed, "{all:?}");
    system.finish().await;
}

async fn what_the_gateway_tried_in_vain_is_in_the_trace() {
    let collector = Collector::start().await;
    let system = traced(&collector).start().await;
    system.users.kill9();

    let answer = system.api.get("/api/users/u1").header("x-request-id", "lost-7").await;

    assert!(answer.status.as_u16() >= 502, "{answer}");
    let trace = collector.trace_of("lost-7", |trace| trace.has("gateway", "GET")).await;
    let tried = trace.0.iter().find(|span| span.kind == CLIENT).expect("it has one");
    assert!(tried.failed, "{tried:?}");
    assert!(["connect", "answer"].contains(&tried.attributes["error.type"].as_str()), "{tried:?}");
    let server = trace.span("gateway", "GET /api/users/*");
    assert!(server.failed && tried.parent.as_ref() == Some(&server.id), "{trace}");
    system.users.restart().await;
    system.finish().await;
}

async fn without_its_collector_the_system_works_and_counts_what_it_drops() {
    let mut collector = Collector::away();
    let system = traced(&collector).env_of_all("OTEL_BSP_MAX_QUEUE_SIZE", "16").start().await;

    for number in 0..60 {
        place(&system, &format!("before-{number}")).await;
    }
    for child in system.children() {
        let what = format!("{} drops spans", child.service());
        let metric = format!("{}_spans_dropped_total", child.service());
        eventually(DEADLINE, &what, async || match child.metric(&metric).await {
            Some(dropped) if dropped > 0.0 => Ok(()),
            dropped => Err(format!("{dropped:?}")),
        })
        .await;
        assert_eq!(child.log_count("event=spans_not_exported"), 1, "said once by {}", child.service());
    }
    collector.come().await;

    for child in system.children() {
        eventually(DEADLINE, "it says that it works again", async || {
            child.log_contains("event=spans_exported_again").then_some(()).ok_or("not yet")
        })
        .await;
    }
    place(&system, "after").await;
    collector.trace_of("after", is_whole).await;
    system.finish().await;
}

async fn what_has_gathered_is_sent_at_the_end() {
    let collector = Collector::start().await;
    let system = traced(&collector).env_of_all("OTEL_BSP_SCHEDULE_DELAY", "600000").start().await;
    place(&system, "last").await;
    assert_eq!(collector.spans().len(), 0, "they wait for others");

    system.finish().await;

    collector.trace_of("last", is_whole).await;
}

async fn what_the_client_does_not_want_to_be_recorded_is_not() {
    let collector = Collector::start().await;
    let system = traced(&collector).start().await;
    let get = |id: &str, flags: &str| {
        let traceparent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-{flags}");
        let call = system.api.get("/api/users/u1").header("traceparent", &traceparent);
        call.header("x-request-id", id)
    };

    get("unwanted", "00").await.expect(200);
    get("wanted", "01").await.expect(200);

    let trace = collector
        .trace_of("wanted", |trace| trace.has("users", "GET /users/{id}") && trace.0.len() == 3)
        .await;
    assert_eq!(trace.missing_parents(), ["00f067aa0ba902b7"], "the client's own, which it keeps itself");
    let unwanted = collector
        .spans()
        .into_iter()
        .filter(|span| span.attributes.get("warren.request_id").is_some_and(|id| id == "unwanted"));
    assert_eq!(unwanted.count(), 0);
    system.finish().await;
}

async fn without_an_endpoint_there_is_nothing_that_could_send() {
    let collector = Collector::start().await;
    let on = Service::Users;
    let system = system().env(on, "OTEL_EXPORTER_OTLP_ENDPOINT", &collector.endpoint()).start().await;
    place(&system, "order-7").await;

    for child in system.children() {
        let expected = child.service() == on;
        assert_eq!(threads(child).iter().any(|name| name == "span-export"), expected, "{}", child.service());
        let metric = child.metric(&format!("{}_spans_dropped_total", child.service())).await;
        assert_eq!(metric.is_some(), expected, "{}", child.service());
    }
    system.finish().await;
}

/// The names of a process's threads.
fn threads(child: &Child) -> Vec<String> {
    let tasks = fs::read_dir(format!("/proc/{}/task", child.pid())).expect("the process runs").flatten();
    let name = |task: fs::DirEntry| fs::read_to_string(task.path().join("comm")).ok();
    tasks.filter_map(name).map(|name| name.trim().to_owned()).collect()
}

warren::stories! {
    on both brokers:
        one_order_is_one_trace_from_the_gateway_to_its_effect,
        the_trace_is_the_same_when_the_broker_was_killed_in_between,
        every_attempt_at_an_event_and_its_replay_belong_to_the_trace_that_it_came_with;
    on the embedded broker:
        spans_are_named_and_described_by_the_conventions,
        what_the_gateway_tried_in_vain_is_in_the_trace,
        without_its_collector_the_system_works_and_counts_what_it_drops,
        what_has_gathered_is_sent_at_the_end,
        what_the_client_does_not_want_to_be_recorded_is_not,
        without_an_endpoint_there_is_nothing_that_could_send;
}
