//! What a service shows of its insides: sound, complete, and out of reach for strangers.

use std::collections::BTreeMap;

use http::Method;
use serde_json::json;
use warren::harness::Child;

use crate::support::{problem, system, wire};

async fn probes_and_actors_tell_how_each_service_is() {
    let system = system().start().await;

    for (child, actors) in [
        (
            &system.users,
            vec![
                "repository",
                "consumer:users.order-created",
                "consumer:users.order-cancelled",
                "passwords",
                "signing-keys",
                "broker",
                "relay",
            ],
        ),
        (&system.orders, vec!["repository", "consumer:orders.user-created", "customers", "broker", "relay"]),
        (
            &system.gateway,
            vec!["upstream-health", "proxy-0", "proxy-1", "auth-keys", "api-description", "status-board"],
        ),
    ] {
        // The gateway asks the others how they are; it may have asked before they were ready.
        child.wait_not_degraded().await;
        let ready = child.internal.get("/health/ready").await.expect(200).json();
        assert_eq!(ready["status"], "ready", "{}: {ready}", child.service());
        child.internal.get("/health/live").await.expect(200);

        let report = child.actors().await;
        assert_eq!(
            (&report["service"], &report["pid"]),
            (&json!(child.service().name()), &json!(child.pid()))
        );
        assert_eq!(report["timeline"], json!([]), "no actor has ended");
        let mut names = Vec::new();
        for actor in report["actors"].as_array().unwrap_or_else(|| panic!("no actors in {report}")) {
            names.push(actor["name"].as_str().expect("a name"));
            assert_eq!(
                (&actor["status"], &actor["generation"], &actor["restarts"]),
                (&json!("running"), &json!(1), &json!(0)),
                "{actor}"
            );
            assert!(actor["observed"].as_object().is_some_and(|state| !state.is_empty()), "{actor}");
        }
        names.sort_unstable();
        let mut actors = actors;
        actors.sort_unstable();
        assert_eq!(names, actors, "{}", child.service());
    }
    system.finish().await;
}

async fn every_line_of_the_metrics_is_well_formed_and_counts_what_happened() {
    let system = system().start().await;
    for _ in 0..3 {
        system.api.post("/api/orders").json(&json!({ "userId": "u1", "items": ["book"] })).await.expect(201);
    }
    system.api.get("/api/users/nobody").await.expect(404);

    for child in system.children() {
        let answer = child.internal.get("/metrics").await.expect(200);
        let kind = answer.header("content-type").expect("a content type");
        assert!(kind.starts_with("application/openmetrics-text; version=1.0.0"), "{kind}");
        let families = parse(&answer.text()).unwrap_or_else(|error| panic!("{}: {error}", child.service()));
        let prefix = format!("{}_", child.service());
        // Every process of whatever system has the first ones, and what concerns the whole of this one is no service's own.
        let prefixes = [prefix.as_str(), "process_", "warren_"];
        let is_foreign = |family: &&String| !prefixes.iter().any(|prefix| family.starts_with(prefix));
        let foreign: Vec<_> = families.keys().filter(is_foreign).collect();
        assert!(foreign.is_empty(), "{}: {foreign:?}", child.service());
    }
    assert_eq!(
        count(&system.orders, "orders_http_requests_total", r#"method="POST",route="/orders",status="201""#)
            .await,
        3.0
    );
    assert_eq!(
        count(&system.users, "users_http_requests_total", r#"method="GET",route="/users/{id}",status="404""#)
            .await,
        1.0
    );
    assert_eq!(
        count(
            &system.users,
            "users_http_request_duration_seconds_count",
            r#"method="GET",route="/users/{id}""#
        )
        .await,
        4.0
    );
    system.finish().await;
}

async fn nothing_internal_is_reachable_through_the_gateway() {
    /// Each is in the answer to what should be out of reach, and in nothing else.
    const MARKS: [&str; 5] = ["outbox_pending", "\"actors\"", "\"timeline\"", "# TYPE", "broker"];
    let system = system().env_of_all("DEMO_FAULTS", "true").start().await;
    // Until then its readiness names the broker as what is away.
    system.gateway.wait_not_degraded().await;
    let marked = |answer: &str| MARKS.into_iter().find(|mark| answer.contains(mark));
    let get = |port: u16, target: &str, more: &str| {
        let head = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\n{more}connection: close\r\n\r\n");
        wire::exchange(port, head)
    };
    for inside in ["/metrics", "/actors"] {
        for child in [&system.users, &system.orders] {
            let answer = get(child.port(), inside, "").await;
            assert!(marked(&answer).is_some(), "the marks are in {answer}");
        }
    }

    let (port, users) = (system.gateway.port(), system.users.port());
    let reached = async || {
        let users = unknown_requests(&system.users).await;
        users + unknown_requests(&system.orders).await
    };
    for inside in ["metrics", "actors", "actors/broker/fault", "health/ready"] {
        // These lead out of what the gateway passes on, if anybody undoes what is in them: no service sees them.
        let climbing = [
            format!("/{inside}"),
            format!("//{inside}"),
            format!("/users/../{inside}"),
            format!("/api/{inside}"),
            format!("/api/../{inside}"),
            format!("/api/users/../{inside}"),
            format!("/api/users/../../{inside}"),
            format!("/api/users/u1/../../{inside}"),
            format!("/api/users/./../{inside}"),
            format!("/api/users//../{inside}"),
            format!("/api/users/%2e%2e/{inside}"),
            format!("/api/users/%2E%2E/{inside}"),
            format!("/api/users/.%2e/{inside}"),
            format!("/api/users/%252e%252e/{inside}"),
            format!("/api/users/..%2f{inside}"),
            format!("/api/users%2f..%2f{inside}"),
            format!("/api/users/..%5c{inside}"),
            format!("/api/users/..\\{inside}"),
            format!("/api/users\\..\\{inside}"),
            format!("/api/users/..;/{inside}"),
            format!("/api/users/..;x=y/{inside}"),
            format!("/api/users/..%00/{inside}"),
            format!("/api/users/..%0d%0a/{inside}"),
            format!("/api/users/..#/{inside}"),
            format!("/api/users@127.0.0.1:{users}/{inside}"),
            format!("http://127.0.0.1:{users}/{inside}"),
            format!("http://localhost:{port}/api/users/../{inside}"),
            format!("/api/orders/../{inside}"),
            format!("/api/orders/none/cancel/../../../{inside}"),
        ];
        let reached_before = reached().await;
        for target in &climbing {
            // The gateway has a readiness of its own, which tells nothing of the services' insides.
            let answer = get(port, target, "").await;
            assert_eq!(marked(&answer), None, "{target}: {answer}");
            assert_eq!(reached().await, reached_before, "{target} has reached a service: {answer}");
        }
        // These are for a service to refuse.
        for target in [
            format!("/api/users?/../{inside}"),
            format!("/api/users/{inside}"),
            format!("/api/users/http://127.0.0.1:{users}/{inside}"),
            format!("/api/users/%c0%ae%c0%ae/{inside}"),
            format!("/api/users/\u{ff0e}\u{ff0e}/{inside}"),
        ] {
            let answer = get(port, &target, "").await;
            assert_eq!(marked(&answer), None, "{target}: {answer}");
        }
        for header in ["x-original-url", "x-rewrite-url", "x-forwarded-path", "x-forwarded-prefix"] {
            let answer = get(port, "/api/users/u1", &format!("{header}: /{inside}\r\n")).await;
            assert_eq!(marked(&answer), None, "{header}: {answer}");
        }
        let tunnel = format!(
            "CONNECT 127.0.0.1:{users} HTTP/1.1\r\nhost: 127.0.0.1:{users}\r\nconnection: close\r\n\r\nGET /{inside} HTTP/1.1\r\nhost: x\r\n\r\n"
        );
        assert_eq!(marked(&wire::exchange(port, tunnel).await), None, "a tunnel to {inside}");
    }
    for path in ["/metrics", "/actors", "/api/users/health/ready", "/api/orders/actors/broker"] {
        problem(&system.api.get(path).await, 404, "not found");
    }
    problem(&system.api.get("/api/users/metrics").await, 404, "user not found");
    for path in ["/actors/broker/fault", "/api/users/actors/broker/fault"] {
        problem(&system.api.post(path).json(&json!({ "kind": "panic" })).await, 404, "not found");
    }
    for child in system.children() {
        assert_eq!(
            child.actors().await["timeline"],
            json!([]),
            "no fault got through to {}",
            child.service()
        );
    }
    system.finish().await;
}

async fn no_web_page_changes_anything_in_a_service_except_through_the_console() {
    let system = system().without_broker().env_of_all("DEMO_FAULTS", "true").start().await;
    let (users, admin) = (&system.users.internal, &system.gateway.internal);
    let before = users.get("/log-level").await.expect(200).json();
    let wishes = [
        (Method::PUT, "/log-level", json!({ "level": "trace" })),
        (Method::POST, "/actors/repository/fault", json!({ "kind": "panic" })),
        (Method::POST, "/link/fault", json!({ "kind": "cut", "ms": 60_000 })),
        (Method::POST, "/process/fault", json!({ "kind": "kill" })),
    ];
    // A page's own name may lead here (DNS rebinding); then it is what `Host` says, too.
    for (host, said) in [
        ("localhost", ("origin", "http://evil.example")),
        ("localhost", ("origin", "null")),
        ("evil.example", ("origin", "http://evil.example")),
        ("localhost", ("sec-fetch-site", "cross-site")),
        ("evil.example", ("sec-fetch-site", "same-origin")),
    ] {
        for (method, path, body) in &wishes {
            let call = users.call(method.clone(), path).json(body).header("host", host);
            problem(&call.header(said.0, said.1).await, 403, "cross-site request");
        }
    }
    // What a page may send without asking before: as text.
    for (method, path, body) in &wishes {
        let call = users.call(method.clone(), path).body(body.to_string());
        problem(&call.header("content-type", "text/plain").await, 415, "unsupported media type");
    }
    assert_eq!(users.get("/log-level").await.expect(200).json(), before);
    let told = users.get("/timeline").await.expect(200).json();
    assert!(!told.to_string().contains("operator"), "{told}");

    // By whatever name those who run the system call it, and through the gateway from the console's own page.
    let level = json!({ "level": "debug" });
    users.call(Method::PUT, "/log-level").json(&level).header("host", "users:3001").await.expect(200);
    let from_the_console = admin.call(Method::PUT, "/log-level").json(&json!({ "level": "warn" }));
    let from_the_console = from_the_console.header("origin", admin.base());
    let all = from_the_console.header("sec-fetch-site", "same-origin").await.expect(200).json();
    assert_eq!(all, json!({ "gateway": "warn", "users": "warn", "orders": "warn" }));
    system.expect_no_broker();
    system.finish().await;
}

/// How many requests for no route of its own a service has answered.
async fn unknown_requests(child: &Child) -> f64 {
    let text = child.internal.get("/metrics").await.expect(200).text();
    let unknown =
        text.lines().filter(|line| line.contains("_http_requests_total{") && line.contains("\"unknown\""));
    unknown.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// One sample's value, from the service's own metrics.
async fn count(child: &Child, name: &str, labels: &str) -> f64 {
    let text = child.internal.get("/metrics").await.expect(200).text();
    let sample = format!("{name}{{{labels}}} ");
    let line = text.lines().find_map(|line| line.strip_prefix(&sample));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {sample} in {text}"))
}

/// Reads OpenMetrics text: every sample belongs to the family that was declared last, with a suffix that its kind has.
fn parse(text: &str) -> Result<BTreeMap<String, usize>, String> {
    let mut samples: BTreeMap<String, usize> = BTreeMap::new();
    let mut family: Option<(String, String)> = None;
    let mut is_over = false;
    for line in text.lines() {
        let wrong = |what: &str| Err(format!("{what}: {line}"));
        if is_over {
            return wrong("a line after # EOF");
        }
        if let Some(comment) = line.strip_prefix("# ") {
            match comment.splitn(3, ' ').collect::<Vec<_>>().as_slice() {
                ["EOF"] => is_over = true,
                ["TYPE", name, kind] if is_name(name) => {
                    if !["counter", "gauge", "histogram", "unknown", "info"].contains(kind) {
                        return wrong("an unknown kind");
                    }
                    if samples.insert((*name).to_owned(), 0).is_some() {
                        return wrong("a family declared twice");
                    }
                    family = Some(((*name).to_owned(), (*kind).to_owned()));
                }
                ["HELP" | "UNIT", name, text] if is_name(name) && !text.is_empty() => {}
                _ => return wrong("a malformed comment"),
            }
            continue;
        }
        let (name, rest) = line.split_at(line.find(['{', ' ']).ok_or(format!("no value: {line}"))?);
        let Some((family, kind)) = &family else { return wrong("a sample before its family") };
        let suffixes: &[&str] = match kind.as_str() {
            "counter" => &["_total"],
            "histogram" => &["_bucket", "_sum", "_count"],
            "info" => &["_info"],
            _ => &[""],
        };
        if !name.strip_prefix(family.as_str()).is_some_and(|suffix| suffixes.contains(&suffix)) {
            return wrong("a sample of another family");
        }
        let value = after_labels(rest).ok_or(format!("malformed labels: {line}"))?;
        if value.parse::<f64>().is_err() {
            return wrong("no number");
        }
        *samples.get_mut(family).expect("it was declared") += 1;
    }
    if is_over { Ok(samples) } else { Err("no # EOF".into()) }
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_' || first == ':');
    starts && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b':')
}

/// What follows ` ` or `{a="b",c="d"} `; in a label's value `\\`, `\"` and `\n` are escaped.
fn after_labels(rest: &str) -> Option<&str> {
    let Some(mut rest) = rest.strip_prefix('{') else { return rest.strip_prefix(' ') };
    loop {
        let (name, value) = rest.split_once("=\"")?;
        if !is_name(name) {
            return None;
        }
        let mut escaped = false;
        let end = value.find(|character| {
            let closes = character == '"' && !escaped;
            escaped = character == '\\' && !escaped;
            closes
        })?;
        rest = &value[end + 1..];
        match rest.strip_prefix("} ") {
            Some(value) => return Some(value),
            None => rest = rest.strip_prefix(',')?,
        }
    }
}

async fn a_malformed_metric_is_found() {
    let good = "# HELP a_b It is.\n# TYPE a_b counter\na_b_total{x=\"1 \\\"2\\\" \\\\\",y=\"}\"} 3\na_b_total 4.5\n# EOF\n";
    assert_eq!(parse(good), Ok(BTreeMap::from([("a_b".to_owned(), 2)])));

    for bad in [
        "",
        "# TYPE a counter\na_total 1\n",
        "a_total 1\n# EOF\n",
        "# TYPE a counter\na 1\n# EOF\n",
        "# TYPE a counter\nb_total 1\n# EOF\n",
        "# TYPE a counter\na_total\n# EOF\n",
        "# TYPE a counter\na_total one\n# EOF\n",
        "# TYPE a counter\na_total{x=1} 1\n# EOF\n",
        "# TYPE a counter\na_total{x=\"1} 1\n# EOF\n",
        "# TYPE a counter\na_total{x=\"1\" 1\n# EOF\n",
        "# TYPE a counter\na_total{x-y=\"1\"} 1\n# EOF\n",
        "# TYPE a colour\na 1\n# EOF\n",
        "# TYPE a gauge\n# TYPE a gauge\n# EOF\n",
        "# TYPE a gauge\na 1\n# EOF\na 1\n",
        "# TYPE a gauge\n\n# EOF\n",
        "#TYPE a gauge\n# EOF\n",
    ] {
        assert!(parse(bad).is_err(), "{bad}");
    }
}

warren::stories! {
    on both brokers:
        probes_and_actors_tell_how_each_service_is,
        every_line_of_the_metrics_is_well_formed_and_counts_what_happened,
        nothing_internal_is_reachable_through_the_gateway;
    without a broker:
        no_web_page_changes_anything_in_a_service_except_through_the_console,
        a_malformed_metric_is_found;
}
