//! The log can be read by programs, says to which request each line belongs, keeps secrets, and says as much as it is asked
//! for while the process runs.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use warren::harness::{Child, System, eventually};
use warren::http::Answer;
use warren::service::Service;

use crate::support::{problem, system};

const DEADLINE: Duration = Duration::from_secs(10);

/// Our own modules at their most talkative; libraries have secrets and manners of their own.
const OWN: &str = "warn,common=trace,users=trace,orders=trace,gateway=trace";

async fn place(system: &System, request_id: &str) {
    let order = json!({ "userId": "u1", "items": ["book"] });
    system.api.post("/api/orders").header("x-request-id", request_id).json(&order).await.expect(201);
}

/// Waits for the line of this event and request.
async fn line(child: &Child, event: &str, request_id: &str) -> Value {
    eventually(DEADLINE, &format!("{}: {event} of {request_id}", child.service()), async || {
        let is_it = |line: &Value| line["event"] == event && line["request_id"] == request_id;
        json_lines(child).into_iter().find(is_it).ok_or("no such line")
    })
    .await
}

#[track_caller]
fn json_lines(child: &Child) -> Vec<Value> {
    // The last line may be on its way.
    let log = child.log();
    let whole = &log[..log.rfind('\n').map_or(0, |end| end + 1)];
    let read = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
    whole.lines().map(read).collect()
}

async fn every_line_of_the_json_log_is_an_object_with_its_fields() {
    let system = system().env_of_all("LOG_FORMAT", "json").env_of_all("RUST_LOG", "debug").start().await;
    place(&system, "order-7").await;
    system.api.get("/api/users/nobody\u{1f600}%22%0a").await;
    system.api.post("/api/users").body("no \"JSON\"\n").await;
    line(&system.users, "delivery", "order-7").await;
    system.wait_outboxes_empty().await;

    for child in system.children() {
        let lines = json_lines(child);
        assert!(lines.len() > 5, "{} has logged something", child.service());
        for line in &lines {
            for key in ["time", "level", "service", "target"] {
                assert!(line[key].is_string(), "{key} of {line}");
            }
            assert!(line["event"].is_string() || line["message"].is_string(), "{line}");
            assert_eq!(line["service"], child.service().name(), "{line}");
            line["time"].as_str().and_then(|time| time.parse::<jiff::Timestamp>().ok()).expect("a time");
        }
        assert!(
            lines.iter().any(|line| line["status"].is_u64() && line["ms"].is_number()),
            "numbers are numbers"
        );
    }
    system.finish().await;
}

async fn every_line_of_a_request_names_it_and_its_trace() {
    let system = system().env_of_all("LOG_FORMAT", "json").env_of_all("RUST_LOG", OWN).start().await;

    place(&system, "order-7").await;

    let trace = line(&system.gateway, "request", "order-7").await["trace_id"].clone();
    for (child, event) in
        [(&system.orders, "request"), (&system.users, "request"), (&system.users, "delivery")]
    {
        assert_eq!(line(child, event, "order-7").await["trace_id"], trace, "{event} in {}", child.service());
    }

    // What an actor logs on behalf of a request, and the gateway of one that comes to nothing.
    system.users.kill9();
    let order = json!({ "userId": "u1", "items": ["book"] });
    let refused = system.api.post("/api/orders").header("x-request-id", "refused-7").json(&order).await;
    problem(&refused, 503, "users unavailable");
    let asked = line(&system.orders, "users_unavailable", "refused-7").await;
    let trace = line(&system.gateway, "request", "refused-7").await["trace_id"].clone();
    assert_eq!(asked["trace_id"], trace);
    let unanswered = system.api.get("/api/users/u1").header("x-request-id", "lost-7").await;
    assert!(unanswered.status.as_u16() >= 502, "{unanswered}");
    let logged = line(&system.gateway, "request", "lost-7").await;
    assert!(logged["trace_id"].is_string(), "{logged}");

    for child in [&system.gateway, &system.orders] {
        for line in json_lines(child).iter().filter(|line| line["event"] == "unanswered") {
            assert!(line["request_id"].is_string() && line["trace_id"].is_string(), "{line}");
        }
    }
    system.users.restart().await;
    system.finish().await;
}

async fn text_names_the_request_as_well_and_once() {
    let system = system().env_of_all("RUST_LOG", OWN).start().await;

    place(&system, "order-7").await;

    let named = "request_id=order-7";
    let delivery = eventually(DEADLINE, "the delivery is logged", async || {
        let log = system.users.log();
        let is_it = |line: &&str| line.contains("event=delivery") && line.contains(named);
        log.lines().find(is_it).map(str::to_owned).ok_or("no such line")
    })
    .await;
    assert!(delivery.contains(" trace_id="), "{delivery}");
    for child in system.children() {
        for line in child.log().lines() {
            assert!(line.matches("request_id=").count() <= 1, "{line}");
        }
    }
    system.finish().await;
}

async fn the_level_is_changed_while_the_process_runs() {
    let system = system().start().await;

    for child in system.children() {
        let pid = child.pid();
        let name = child.service().name();
        // The gateway's admin port speaks for all of them; a service is asked for itself.
        let is_gateway = child.service() == Service::Gateway;
        let put = |level: &str| {
            let body = match is_gateway {
                true => json!({ "level": level, "service": name }),
                false => json!({ "level": level }),
            };
            child.internal.call(Method::PUT, "/log-level").json(&body)
        };
        let level = |answer: Answer| answer.json()[if is_gateway { name } else { "level" }].clone();
        let seen = async |id: &str| {
            let path = if is_gateway { "/api/users/u1" } else { "/health/live" };
            child.http.get(path).header("x-request-id", id).await.expect(200);
            child.log_contains(&format!("request_id={id}"))
        };
        assert_eq!(level(child.internal.get("/log-level").await.expect(200)), "info", "{name}");
        assert!(!seen("before").await, "{name}");

        let changed = put("info,common=debug,gateway=debug").await.expect(200);
        assert_eq!(level(changed), "info,common=debug,gateway=debug");
        eventually(DEADLINE, "debug lines are logged", async || {
            if seen("loud").await { Ok(()) } else { Err("not yet") }
        })
        .await;

        put("error").await.expect(200);
        assert!(!seen("hushed").await, "{name}");
        assert_eq!(
            child.log_count("event=log_level_changed"),
            2,
            "each change is logged, whatever the level"
        );
        problem(&put("loud").await, 400, "invalid level");
        assert_eq!(level(child.internal.get("/log-level").await.expect(200)), "error");
        put("info").await.expect(200);
        let told = child.internal.get("/timeline").await.expect(200).json();
        let latest = &told["items"][0];
        assert_eq!(
            (&latest["kind"], &latest["subject"]),
            (&json!("operator"), &json!("log level")),
            "{told}"
        );
        assert_eq!(child.pid(), pid, "without a restart");
    }

    let all = json!({ "level": "warn" });
    let changed = system.gateway.internal.call(Method::PUT, "/log-level").json(&all).await.expect(200).json();
    assert_eq!(changed, json!({ "gateway": "warn", "users": "warn", "orders": "warn" }));
    for child in [&system.users, &system.orders] {
        let told = child.internal.get("/log-level").await.expect(200).json();
        assert_eq!(told, json!({ "level": "warn" }), "{} itself", child.service());
    }
    system.finish().await;
}

async fn the_log_level_of_one_or_all_is_changed_while_they_run() {
    let system = system().without_broker().start().await;
    let admin = &system.gateway.internal;
    let put = |body: Value| admin.call(Method::PUT, "/log-level").json(&body);
    let before = admin.get("/log-level").await.expect(200).json();
    assert!(["gateway", "users", "orders"].iter().all(|service| before[service].is_string()), "{before}");

    let one = put(json!({ "level": "debug", "service": "orders" })).await.expect(200).json();
    let mut expected = before.clone();
    expected["orders"] = json!("debug");
    assert_eq!(one, expected);
    let all = put(json!({ "level": "warn" })).await.expect(200).json();
    assert_eq!(all, json!({ "gateway": "warn", "users": "warn", "orders": "warn" }));

    problem(&put(json!({ "level": "loud" })).await, 400, "invalid level");
    problem(&put(json!({ "level": "loud", "service": "users" })).await, 400, "invalid level");
    problem(&put(json!({ "level": "info", "service": "nobody" })).await, 400, "no such service");
    assert_eq!(admin.get("/log-level").await.expect(200).json(), all);
    let noted = admin.get("/console/timeline?kind=operator&service=gateway").await.expect(200).json();
    assert_eq!(noted["items"].as_array().map(Vec::len), Some(1), "{noted}");

    system.users.kill9();
    problem(&put(json!({ "level": "info", "service": "users" })).await, 503, "service unavailable");
    let rest = put(json!({ "level": "info" })).await.expect(200).json();
    assert_eq!(rest, json!({ "gateway": "info", "users": null, "orders": "info" }));
    system.expect_no_broker();
    system.finish().await;
}

async fn no_secret_is_logged_at_any_level() {
    const PASSWORD: &str = "zebra crossing seven";
    const ADMIN: &str = "umbrella stand nine";
    const KEY: &str = "idem-4f1c77e0b2";
    const BASIC: &str = "Basic c2VjcmV0OnNlY3JldA==";
    const COLLECTOR: &str = "collector-token-31";
    let setup = system().env_of_all("RUST_LOG", OWN).env(Service::Gateway, "AUTH", "required");
    let setup = setup.env_of_all("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9");
    let setup =
        setup.env_of_all("OTEL_EXPORTER_OTLP_HEADERS", &format!("authorization=Bearer%20{COLLECTOR}"));
    let setup = setup.env(Service::Users, "ADMIN_EMAIL", "root@example.com");
    let system = setup.env(Service::Users, "ADMIN_PASSWORD", ADMIN).start().await;
    // What the gateway does not pass on without its keys.
    eventually(DEADLINE, "the gateway has the keys", async || {
        let answer = system.api.get("/api/users").await;
        if answer.status == 401 { Ok(()) } else { Err(answer.to_string()) }
    })
    .await;

    let user = json!({ "name": "Grace", "email": "grace@example.com", "password": PASSWORD });
    system.api.post("/api/users").header("idempotency-key", KEY).json(&user).await.expect(201);
    system.api.post("/api/users").header("idempotency-key", KEY).json(&user).await.expect(201);
    let mut tokens = Vec::new();
    for (email, password) in [("grace@example.com", PASSWORD), ("root@example.com", ADMIN)] {
        let login = json!({ "email": email, "password": password });
        let session = system.api.post("/api/users/sessions").json(&login).await.expect(201).json();
        tokens.push(session["token"].as_str().expect("a token").to_owned());
    }
    let wrong = json!({ "email": "grace@example.com", "password": format!("{PASSWORD} or not") });
    system.api.post("/api/users/sessions").json(&wrong).await.expect(401);
    let malformed = format!("{{\"email\":\"grace@example.com\",\"password\":\"{PASSWORD}\",}}");
    system.api.post("/api/users/sessions").header("content-type", "application/json").body(malformed).await;
    let order = json!({ "userId": "u1", "items": ["book"] });
    let bearer = format!("Bearer {}", tokens[1]);
    let placing = system.api.post("/api/orders").header("authorization", &bearer);
    placing.header("idempotency-key", KEY).json(&order).await.expect(201);
    for authorization in [&bearer[..bearer.len() - 2], BASIC, "Bearer nonsense-77-token"] {
        system.api.get("/api/orders").header("authorization", authorization).await.expect(401);
    }
    system.wait_outboxes_empty().await;

    let signature = |token: &str| token.rsplit('.').next().expect("three parts").to_owned();
    let signatures: Vec<String> = tokens.iter().map(|token| signature(token)).collect();
    let credentials =
        system.amqp_url.split("//").nth(1).and_then(|rest| rest.split_once('@')).expect("a URL").0;
    for child in system.children() {
        let log = child.log();
        assert!(log.contains("event=request"), "{} has logged requests", child.service());
        let secrets = [PASSWORD, ADMIN, KEY, &BASIC[6..], COLLECTOR, "nonsense-77-token", credentials];
        for secret in secrets.into_iter().chain(signatures.iter().map(String::as_str)) {
            let told = log.lines().find(|line| line.contains(secret));
            assert_eq!(told, None, "{} keeps {secret:?} to itself", child.service());
        }
        for word in ["argon2", "Bearer ", "eyJ"] {
            assert!(!log.contains(word), "{}: {word}", child.service());
        }
    }
    system.finish().await;
}

async fn a_log_that_cannot_be_written_as_asked_is_a_mistake_like_any_other() {
    let system = system().without_broker().env_of_all("LOG_FORMAT", "xml").env_of_all("RUST_LOG", "loud");
    let system = system.env_of_all("OTEL_EXPORTER_OTLP_ENDPOINT", "https://collector").prepare().await;
    system.expect_no_broker();

    for child in system.children() {
        child.start();
        let status = child.ended(DEADLINE).await;
        assert_eq!(status.code(), Some(78), "{}", child.service());
        for mistake in
            ["LOG_FORMAT must be text or json", "RUST_LOG: \"loud\" is no level", "OTEL_EXPORTER_OTLP"]
        {
            assert!(child.log_contains(mistake), "{mistake}: {}", child.log());
        }
    }
    system.finish().await;
}

warren::stories! {
    on the embedded broker:
        every_line_of_the_json_log_is_an_object_with_its_fields,
        every_line_of_a_request_names_it_and_its_trace,
        text_names_the_request_as_well_and_once,
        the_level_is_changed_while_the_process_runs,
        no_secret_is_logged_at_any_level,
        a_log_that_cannot_be_written_as_asked_is_a_mistake_like_any_other;
    without a broker:
        the_log_level_of_one_or_all_is_changed_while_they_run;
}
