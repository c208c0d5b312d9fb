//! The gateway's admin port: who gets in, what those see who watch, and what nobody sees from outside.

use std::time::{Duration, Instant};

use http::Method;
use serde_json::{Value, json};
use warren::harness::{Folder, Setup, System, eventually, eventually_equal, private_node};
use warren::http::{Answer, Http};
use warren::note;
use warren::service::Service;

use crate::support::{Viewer, end_stall, link, problem, process, queues_are_registered, stall, system, wire};

const TOKEN: &str = "correct battery staple";

/// What is broken is seen broken within a second; a busy machine gets more.
const SEEN_WITHIN: Duration = Duration::from_secs(5);

/// A service or broker is back, and what was heard of it.
const BACK_WITHIN: Duration = Duration::from_secs(30);

/// What the port shows to those who run the system.
const INSIDE: [&str; 8] = [
    "/actors",
    "/metrics",
    "/timeline",
    "/log-level",
    "/console/state",
    "/console/events",
    "/console/timeline",
    "/console/ledger?q=u1",
];

async fn who_has_no_token_sees_nothing_where_one_is_set() {
    let system = with_token().start().await;
    let admin = &system.gateway.internal;

    for path in INSIDE {
        let answer = admin.get(path).await;
        problem(&answer, 401, "token missing");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"warren\""), "{path}");
        problem(&bearer(admin, path, "wrong").await, 401, "token invalid");
    }
    let fault = json!({ "kind": "panic" });
    problem(&admin.post("/actors/auth-keys/fault").json(&fault).await, 401, "token missing");
    problem(&admin.get("/nowhere").await, 401, "token missing");
    for open in ["/", "/console/index.html", "/health/live", "/health/ready"] {
        admin.get(open).await.expect(200);
    }

    for path in ["/actors", "/metrics", "/console/state", "/console/timeline", "/console/ledger?q=u1"] {
        bearer(admin, path, TOKEN).await.expect(200);
    }
    for child in system.children() {
        assert!(!child.log_contains(TOKEN), "{} logs the token", child.service());
    }
    without_broker_finish(system).await;
}

async fn a_session_stands_for_the_token_until_it_is_ended() {
    let system = with_token().start().await;
    let admin = &system.gateway.internal;

    problem(&log_in(admin, "wrong token").await, 401, "token invalid");
    let begun = log_in(admin, TOKEN).await.expect(204);
    let cookie = begun.header("set-cookie").expect("a cookie").to_owned();
    for attribute in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
        assert!(cookie.contains(attribute), "{attribute} in {cookie}");
    }
    let cookie = cookie.split(';').next().expect("a name and a value").to_owned();
    assert!(!cookie.contains(TOKEN) && !cookie.contains("battery"), "{cookie}");

    admin.get("/console/state").header("cookie", &cookie).await.expect(200);
    problem(&admin.get("/console/state").header("cookie", "warren_admin=").await, 401, "token missing");
    let ended = admin.call(Method::DELETE, "/session").header("cookie", &cookie).await.expect(204);
    assert!(ended.header("set-cookie").is_some_and(|cookie| cookie.contains("Max-Age=0")), "{ended}");
    problem(&admin.get("/console/state").header("cookie", &cookie).await, 401, "token missing");
    without_broker_finish(system).await;
}

async fn who_guesses_tokens_has_to_wait() {
    let system = with_token().start().await;
    let admin = &system.gateway.internal;
    let session = log_in(admin, TOKEN).await.expect(204);
    let cookie = session.header("set-cookie").and_then(|cookie| cookie.split(';').next()).expect("a cookie");

    for _ in 0..10 {
        problem(&log_in(admin, "a guess").await, 401, "token invalid");
    }

    let refused = log_in(admin, TOKEN).await;
    problem(&refused, 429, "too many wrong tokens");
    assert!(refused.header("retry-after").is_some(), "{refused}");
    problem(&bearer(admin, "/actors", TOKEN).await, 429, "too many wrong tokens");
    admin.get("/actors").header("cookie", cookie).await.expect(200);
    without_broker_finish(system).await;
}

async fn without_a_token_the_gateway_starts_only_on_the_loopback_interface() {
    for (host, token, complaint) in [
        ("0.0.0.0", "", "ADMIN_TOKEN must be set where ADMIN_HOST is 0.0.0.0"),
        ("::", "", "ADMIN_TOKEN must be set where ADMIN_HOST is ::"),
        ("0.0.0.0", "short", "ADMIN_TOKEN must be at least 8 characters long"),
    ] {
        let setup = system().without_broker();
        let setup =
            setup.env(Service::Gateway, "ADMIN_HOST", host).env(Service::Gateway, "ADMIN_TOKEN", token);
        let system = setup.prepare().await;
        system.gateway.start();

        let status = system.gateway.ended(Duration::from_secs(10)).await;

        assert_eq!(status.code(), Some(78), "{host}");
        assert!(system.gateway.log_contains(complaint), "{}", system.gateway.log());
        assert!(token.is_empty() || !system.gateway.log_contains("short"), "{}", system.gateway.log());
        without_broker_finish(system).await;
    }

    let setup = with_token().env(Service::Gateway, "ADMIN_HOST", "0.0.0.0");
    let system = setup.start().await;
    let admin = &system.gateway.internal;
    problem(&admin.get("/actors").await, 401, "token missing");
    // By whatever name it is reached there.
    let named = admin.get("/actors").header("host", "gateway.example:8081");
    named.header("authorization", &format!("Bearer {TOKEN}")).await.expect(200);
    without_broker_finish(system).await;
}

async fn pages_of_other_sites_change_nothing_and_see_nothing() {
    let system = system().without_broker().env(Service::Gateway, "DEMO_FAULTS", "true").start().await;
    let admin = &system.gateway.internal;
    let own = admin.base().trim_start_matches("http://").to_owned();
    let panic = || admin.post("/actors/auth-keys/fault").json(&json!({ "kind": "panic" }));

    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        problem(&panic().header(name, value).await, 403, "cross-site request");
        problem(&log_in_from(admin, name, value).await, 403, "cross-site request");
    }
    for path in INSIDE.into_iter().chain(["/"]) {
        for host in ["evil.example", "evil.example:8081", "localhost.evil.example", "10.0.0.1"] {
            problem(&admin.get(path).header("host", host).await, 403, "wrong host");
        }
    }
    problem(&panic().header("host", "evil.example").await, 403, "wrong host");
    // Also not by asking before.
    let preflight = admin.call(Method::OPTIONS, "/console/state").header("origin", "http://evil.example");
    let preflight = preflight.header("access-control-request-method", "GET").await;
    assert_eq!((preflight.status.as_u16(), preflight.header("access-control-allow-origin")), (403, None));
    assert_eq!(auth_keys_restarts(&system).await, 0);

    let allowed = panic().header("origin", &format!("http://{own}")).header("sec-fetch-site", "same-origin");
    allowed.await.expect(202);
    eventually_equal(BACK_WITHIN, "restarts", 1, async || auth_keys_restarts(&system).await).await;
    without_broker_finish(system).await;
}

async fn every_answer_forbids_what_the_page_does_not_need() {
    let system = system().without_broker().start().await;
    let admin = &system.gateway.internal;

    for path in ["/", "/console/state", "/actors", "/nowhere", "/console/ledger"] {
        let answer = admin.get(path).await;
        let policy =
            answer.header("content-security-policy").unwrap_or_else(|| panic!("none on {path}: {answer}"));
        for directive in
            ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(directive), "{directive} in {policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
    }
    let page = admin.get("/").await.expect(200);
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let again = admin.get("/").header("if-none-match", page.header("etag").expect("a tag")).await;
    assert_eq!((again.status.as_u16(), again.body.len()), (304, 0));
    without_broker_finish(system).await;
}

async fn nothing_of_the_console_is_reachable_through_the_public_port() {
    let system = system().without_broker().env_of_all("DEMO_FAULTS", "true").start().await;
    let unknown = normalised(&system.api.get("/no-such-path").await);

    for path in [
        "/console/",
        "/console/index.html",
        "/console/state",
        "/console/events",
        "/console/timeline",
        "/console/ledger?q=u1",
        "/actors",
        "/metrics",
        "/timeline",
        "/ledger?about=u1",
        "/dead-letters",
        "/experiments",
        "/session",
        "/log-level",
    ] {
        for method in [Method::GET, Method::POST, Method::PUT, Method::DELETE] {
            let answer = system.api.call(method.clone(), path).await;
            assert_eq!(normalised(&answer), unknown, "{method} {path}");
        }
    }
    let root = system.api.get("/").await;
    assert!(!root.text().contains("<h1>"), "{root}");
    without_broker_finish(system).await;
}

async fn whoever_watches_sees_the_broker_go_and_come_back() {
    let folder = Folder::new();
    let node = private_node(&folder).await;
    let system = system().broker(node.url("/")).start().await;
    system.wait_broker().await;
    queues_are_registered(&folder).await;
    let mut viewer = viewer(&system).await;

    let connected = |state: &Value| {
        state["broker"]["state"] == "connected" && link(state, "orders", "broker")["state"] == "up"
    };
    viewer.until(BACK_WITHIN, "the link works", connected).await;
    node.kill9();
    let killed = Instant::now();
    let broken = |state: &Value| {
        state["broker"]["state"] == "away"
            && ["users", "orders"].iter().all(|service| {
                link(state, service, "broker")["state"] == "down"
                    && link(state, "broker", service)["state"] == "down"
            })
    };
    let state = viewer.until(SEEN_WITHIN, "both links are broken", broken).await;
    note!("seen broken {:?} after the kill", killed.elapsed());
    assert!(link(&state, "orders", "broker")["detail"].is_string(), "{state:#}");
    assert!(state["broker"]["name"].is_string(), "it is known which one is away: {state:#}");

    node.start().await.expect("it starts on the same port and data");
    viewer.until(BACK_WITHIN, "the link works again", connected).await;
    system.finish().await;
}

async fn a_service_that_is_killed_is_shown_silent_with_what_was_heard_last_and_comes_back() {
    let system = system().without_broker().start().await;
    let mut viewer = viewer(&system).await;
    let users_is = |wanted: &'static str| move |state: &Value| process(state, "users")["state"] == wanted;
    // Without a broker that is as well as it gets.
    let before = viewer.until(BACK_WITHIN, "users is heard", users_is("degraded")).await;
    let pid = system.users.pid();
    assert_eq!(process(&before, "users")["pid"], pid);

    system.users.kill9();
    let killed = Instant::now();
    let silent = viewer.until(SEEN_WITHIN, "users is silent", users_is("silent")).await;
    note!("seen silent {:?} after the kill", killed.elapsed());
    let shown = process(&silent, "users");
    assert_eq!(shown["pid"], pid, "what was heard last");
    assert!(shown["heardAt"].is_string() && shown["reason"].is_string(), "{shown:#}");
    assert!(shown["actors"].as_array().is_some_and(|actors| !actors.is_empty()), "{shown:#}");
    for from in ["gateway", "orders"] {
        assert_eq!(link(&silent, from, "users")["state"], "down", "{silent:#}");
    }
    let timeline = system.gateway.internal.get("/console/timeline").await.expect(200).json();
    assert_eq!(
        timeline["silent"].as_array().map(|all| all.contains(&json!("users"))),
        Some(true),
        "{timeline}"
    );

    // The health check looks once a second: who is back before that was not away.
    let absence = async |is_over: bool| {
        eventually(BACK_WITHIN, "its absence is one entry of the timeline", async || {
            let path = "/console/timeline?service=gateway&kind=ejection&text=users";
            let timeline = system.gateway.internal.get(path).await.expect(200).json();
            match timeline["items"].as_array().expect("a list").as_slice() {
                [item]
                    if item["endedAt"].is_string() == is_over && item["durationMs"].is_u64() == is_over =>
                {
                    Ok(())
                }
                _ => Err(timeline.to_string()),
            }
        })
        .await;
    };
    absence(false).await;
    system.users.restart().await;
    let back = viewer.until(BACK_WITHIN, "users is back", users_is("degraded")).await;
    assert_eq!(process(&back, "users")["pid"], system.users.pid());
    assert_eq!(process(&back, "users")["heardAt"], Value::Null);
    viewer
        .until(BACK_WITHIN, "the link works", |state| link(state, "gateway", "users")["state"] == "up")
        .await;
    absence(true).await;
    without_broker_finish(system).await;
}

async fn an_order_is_followed_from_its_commit_to_its_effect() {
    let system = system().start().await;
    let admin = &system.gateway.internal;
    let order = json!({ "userId": "u1", "items": ["book"] });
    let placed = system.api.post("/api/orders").json(&order).await.expect(201);
    let (order, request) =
        (placed.json()["id"].clone(), placed.header("x-request-id").expect("an id").to_owned());
    let order = order.as_str().expect("a text").to_owned();

    let followed = async |id: &str| {
        let ledger = admin.get(&format!("/console/ledger?q={id}")).await.expect(200).json();
        assert_eq!(ledger["silent"], json!([]), "{ledger}");
        let events = ledger["events"].as_array().expect("a list");
        let event = events.iter().find(|event| event["type"] == "order.created").ok_or("no event")?;
        let steps: Vec<(String, String)> = event["steps"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|step| (step["service"].to_string(), step["step"].to_string()))
            .map(|(service, step)| (service.replace('"', ""), step.replace('"', "")))
            .collect();
        let has = |service: &str, step: &str| steps.iter().any(|(s, t)| s == service && t == step);
        let way =
            [("orders", "committed"), ("orders", "confirmed"), ("users", "applied"), ("users", "acked")];
        match way.iter().find(|(service, step)| !has(service, step)) {
            None => Ok::<_, String>((event["id"].as_str().expect("an id").to_owned(), steps)),
            Some(missing) => Err(format!("no {missing:?} in {steps:?}")),
        }
    };
    let (event, steps) =
        eventually(BACK_WITHIN, "its way is written down", async || followed(&order).await).await;
    let place = |wanted: &str| steps.iter().position(|(_, step)| step == wanted);
    assert!(place("committed") < place("applied") && place("applied") < place("acked"), "{steps:?}");
    for id in [event.as_str(), &request] {
        assert_eq!(followed(id).await, Ok((event.clone(), steps.clone())), "by {id}");
    }

    let nothing = admin.get("/console/ledger?q=no-such-thing").await.expect(200).json();
    assert_eq!(nothing, json!({ "events": [], "silent": [] }));
    for wrong in ["/console/ledger?q=", "/console/ledger?q=x&limit=0", "/console/timeline?limit=many"] {
        problem(&admin.get(wrong).await, 400, "invalid query");
    }
    system.finish().await;
}

async fn a_stalled_actor_does_not_make_its_service_look_silent() {
    let system = system().without_broker().env_of_all("DEMO_FAULTS", "true").start().await;
    let mut viewer = viewer(&system).await;
    let is_stalled = |state: &Value| {
        let users = process(state, "users");
        let actors = users["actors"].as_array().expect("a list");
        let stalled = actors.iter().any(|actor| actor["name"] == "passwords" && actor["observed"].is_null());
        stalled && users["state"] != "silent" && actors.iter().any(|actor| actor["observed"].is_object())
    };

    stall(&system.users, "passwords").await;
    viewer.until(SEEN_WITHIN, "one actor says nothing, and the others do", is_stalled).await;

    end_stall(&system.users, "passwords").await;
    viewer.until(BACK_WITHIN, "it goes on", |state| !is_stalled(state)).await;
    without_broker_finish(system).await;
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
    without_broker_finish(system).await;
}

async fn a_service_that_hangs_is_shown_silent() {
    let system = system().without_broker().start().await;
    let mut viewer = viewer(&system).await;

    system.orders.stop();
    viewer
        .until(SEEN_WITHIN, "orders is silent", |state| process(state, "orders")["state"] == "silent")
        .await;
    system.orders.cont();
    viewer
        .until(BACK_WITHIN, "orders is back", |state| process(state, "orders")["state"] == "degraded")
        .await;
    without_broker_finish(system).await;
}

async fn ten_viewers_see_the_same_and_the_sixty_fifth_is_asked_to_come_again() {
    let system = system().without_broker().start().await;
    let mut viewers = Vec::new();
    for _ in 0..10 {
        viewers.push(viewer(&system).await);
    }
    for viewer in &mut viewers {
        viewer.until(BACK_WITHIN, "all watch", |state| watching(state) == Some(10)).await;
    }
    let (begun, used) = (Instant::now(), cpu_ms(system.gateway.pid()));
    let mut pictures = Vec::new();
    for viewer in &mut viewers {
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(viewer.state().await.to_string());
        }
        pictures.push(seen);
    }
    let (took, used) = (begun.elapsed(), cpu_ms(system.gateway.pid()) - used);
    note!("ten viewers cost {used} ms of a core in {took:?}");
    for seen in &pictures {
        // Where one began a picture earlier, the others are still the same ones.
        assert!(seen.iter().filter(|picture| pictures[0].contains(picture)).count() >= 4, "the same bytes");
    }

    for _ in viewers.len()..64 {
        viewers.push(viewer(&system).await);
    }
    let refused = Viewer::watch(admin_port(&system)).await.err().expect("there is no place");
    assert_eq!(wire::status(&refused), 503, "{refused}");
    assert!(refused.contains("too many viewers"), "{refused}");
    system.gateway.internal.get("/console/state").await.expect(200);
    drop(viewers);

    // The gateway notices their end when it writes to them.
    let place = async || Viewer::watch(admin_port(&system)).await;
    let mut last = eventually(BACK_WITHIN, "there is a place again", place).await;
    last.until(BACK_WITHIN, "the others have left", |state| watching(state) == Some(1)).await;
    // The gateway does not wait for those who watch.
    let stopped = Instant::now();
    assert!(system.gateway.terminate().await.success());
    last.ended().await;
    note!("stopped within {:?} while somebody watched", stopped.elapsed());
    without_broker_finish(system).await;
}

async fn nobody_is_asked_while_nobody_watches() {
    let system = system().without_broker().start().await;
    let asked = async || {
        let metrics = system.users.internal.get("/metrics").await.expect(200).text();
        let counted = metrics.lines().find(|line| {
            line.starts_with("users_http_requests_total{") && line.contains("route=\"/actors\"")
        });
        counted.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or(0.0)
    };
    assert_eq!(asked().await, 0.0);

    let watching = viewer(&system).await;
    eventually(BACK_WITHIN, "users is asked", async || match asked().await {
        0.0..3.0 => Err("hardly ever"),
        _ => Ok(()),
    })
    .await;
    drop(watching);

    // The gateway notices a viewer's end when it writes to it.
    eventually(BACK_WITHIN, "users is left alone", async || {
        let before = asked().await;
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let after = asked().await;
        if before == after { Ok(()) } else { Err(format!("{before}, then {after}")) }
    })
    .await;
    without_broker_finish(system).await;
}

fn with_token() -> Setup {
    system().without_broker().env(Service::Gateway, "ADMIN_TOKEN", TOKEN).env(
        Service::Gateway,
        "DEMO_FAULTS",
        "true",
    )
}

async fn bearer(admin: &Http, path: &str, token: &str) -> Answer {
    admin.get(path).header("authorization", &format!("Bearer {token}")).await
}

async fn log_in(admin: &Http, token: &str) -> Answer {
    admin.post("/session").json(&json!({ "token": token })).await
}

async fn log_in_from(admin: &Http, name: &str, value: &str) -> Answer {
    admin.post("/session").json(&json!({ "token": TOKEN })).header(name, value).await
}

async fn auth_keys_restarts(system: &System) -> u64 {
    crate::support::Actors::of(&system.gateway).await.restarts("auth-keys")
}

async fn viewer(system: &System) -> Viewer {
    Viewer::watch(admin_port(system)).await.unwrap_or_else(|refused| panic!("{refused}"))
}

fn admin_port(system: &System) -> u16 {
    let port = system.gateway.internal.base().rsplit(':').next().and_then(|port| port.parse().ok());
    port.expect("the harness names the port")
}

/// How many watch, as the board says itself.
fn watching(state: &Value) -> Option<u64> {
    let actors = state["gateway"]["actors"].as_array()?;
    actors.iter().find(|actor| actor["name"] == "status-board")?["observed"]["viewers"].as_u64()
}

/// What a process has used of a core so far.
fn cpu_ms(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process runs");
    // The name before may hold anything but a closing parenthesis at the end.
    let fields = stat.rsplit(')').next().expect("a name").split_whitespace().skip(11).take(2);
    fields.filter_map(|ticks| ticks.parse::<u64>().ok()).sum::<u64>() * 10
}

/// An answer without what is different each time.
fn normalised(answer: &Answer) -> (u16, Value) {
    let mut problem = answer.json();
    problem.as_object_mut().map(|problem| problem.remove("requestId"));
    (answer.status.as_u16(), problem)
}

async fn without_broker_finish(system: System) {
    system.expect_no_broker();
    system.finish().await;
}

warren::stories! {
    on both brokers:
        whoever_watches_sees_the_broker_go_and_come_back;
    on any broker:
        an_order_is_followed_from_its_commit_to_its_effect;
    without a broker:
        who_has_no_token_sees_nothing_where_one_is_set,
        a_session_stands_for_the_token_until_it_is_ended,
        who_guesses_tokens_has_to_wait,
        without_a_token_the_gateway_starts_only_on_the_loopback_interface,
        pages_of_other_sites_change_nothing_and_see_nothing,
        every_answer_forbids_what_the_page_does_not_need,
        nothing_of_the_console_is_reachable_through_the_public_port,
        a_service_that_is_killed_is_shown_silent_with_what_was_heard_last_and_comes_back,
        a_service_that_hangs_is_shown_silent,
        a_stalled_actor_does_not_make_its_service_look_silent,
        the_log_level_of_one_or_all_is_changed_while_they_run,
        ten_viewers_see_the_same_and_the_sixty_fifth_is_asked_to_come_again,
        nobody_is_asked_while_nobody_watches;
}
