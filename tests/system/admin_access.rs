//! The gateway's admin port: who gets in, and what nobody sees from outside.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use warren::harness::{Setup, System, eventually, eventually_equal};
use warren::http::{Answer, Http};
use warren::service::Service;

use crate::support::{Actors, problem, system};

const TOKEN: &str = "correct battery staple";

/// An actor that was ended is back long before; a busy machine gets more.
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
    system.expect_no_broker();
    system.finish().await;
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
    system.expect_no_broker();
    system.finish().await;
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
    let wait = refused.header("retry-after").and_then(|said| said.parse::<u64>().ok());
    assert!(wait.is_some_and(|seconds| (1..=6).contains(&seconds)), "{refused}");
    problem(&bearer(admin, "/actors", TOKEN).await, 429, "too many wrong tokens");
    admin.get("/actors").header("cookie", cookie).await.expect(200);
    // Seconds later, and not minutes.
    let let_in = async || match bearer(admin, "/actors", TOKEN).await {
        answer if answer.status == 200 => Ok(()),
        answer => Err(answer.to_string()),
    };
    eventually(Duration::from_secs(20), "the right token is let in again", let_in).await;
    system.expect_no_broker();
    system.finish().await;
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
        system.expect_no_broker();
        system.finish().await;
    }

    let setup = with_token().env(Service::Gateway, "ADMIN_HOST", "0.0.0.0");
    let system = setup.start().await;
    let admin = &system.gateway.internal;
    problem(&admin.get("/actors").await, 401, "token missing");
    // By whatever name it is reached there.
    let named = admin.get("/actors").header("host", "gateway.example:8081");
    named.header("authorization", &format!("Bearer {TOKEN}")).await.expect(200);
    system.expect_no_broker();
    system.finish().await;
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

    let own_page = admin.call(Method::PUT, "/log-level").json(&json!({ "level": "info" }));
    let own_page = own_page.header("origin", &format!("http://{own}"));
    own_page.header("sec-fetch-site", "same-origin").await.expect(200);
    panic().await.expect(202);
    eventually_equal(BACK_WITHIN, "restarts", 1, async || auth_keys_restarts(&system).await).await;
    system.expect_no_broker();
    system.finish().await;
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
    system.expect_no_broker();
    system.finish().await;
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
    system.expect_no_broker();
    system.finish().await;
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
    Actors::of(&system.gateway).await.restarts("auth-keys")
}

/// An answer without what is different each time.
fn normalised(answer: &Answer) -> (u16, Value) {
    let mut problem = answer.json();
    problem.as_object_mut().map(|problem| problem.remove("requestId"));
    (answer.status.as_u16(), problem)
}

warren::stories! {
    without a broker:
        who_has_no_token_sees_nothing_where_one_is_set,
        a_session_stands_for_the_token_until_it_is_ended,
        who_guesses_tokens_has_to_wait,
        without_a_token_the_gateway_starts_only_on_the_loopback_interface,
        pages_of_other_sites_change_nothing_and_see_nothing,
        every_answer_forbids_what_the_page_does_not_need,
        nothing_of_the_console_is_reachable_through_the_public_port;
}
