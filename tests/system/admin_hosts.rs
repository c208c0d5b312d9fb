//! By which names the gateway's admin port is reached: a page of somewhere else that lets a name of its own lead to this
//! machine (DNS rebinding) gets nothing, even where it knows the token; and what it may not read, it may not ask for.

use std::time::Duration;

use http::Method;
use serde_json::json;
use warren::harness::{Setup, System};
use warren::http::Answer;
use warren::service::Service;

use crate::support::{problem, system};

const TOKEN: &str = "correct battery staple";

/// Names that a page of somewhere else could be at.
const OTHERS: [&str; 4] = ["evil.example:8081", "localhost.evil.example", "10.0.0.1:8081", "[::2]:8081"];

/// What only browsers send; a page cannot make its browser leave all of them out.
const OF_BROWSERS: [(&str, &str); 5] = [
    ("origin", ""),
    ("sec-fetch-site", "same-origin"),
    ("sec-fetch-mode", "cors"),
    ("accept-language", "en"),
    ("cookie", "theme=dark"),
];

async fn a_page_at_a_name_of_its_own_gets_nothing_even_with_the_token() {
    let system = with_token().start().await;

    for host in OTHERS {
        wrong_host(&log_in(&system, host, &[]).await);
        let origin = format!("http://{host}");
        let same_origin = [("sec-fetch-site", "same-origin"), ("origin", origin.as_str())];
        wrong_host(&log_in(&system, host, &same_origin).await);
        for (name, value) in OF_BROWSERS {
            let value = if name == "origin" { &origin } else { value };
            for path in ["/", "/actors", "/console/state", "/dead-letters"] {
                wrong_host(&with_bearer(&system, host, path, &[(name, value)]).await);
            }
        }
    }

    finish(system).await;
}

async fn who_is_no_browser_and_has_the_token_may_use_any_name() {
    let system = with_token().start().await;

    for host in OTHERS.into_iter().chain(["gateway:8081"]) {
        with_bearer(&system, host, "/metrics", &[]).await.expect(200);
        let without = system.gateway.internal.get("/metrics").header("host", host).await;
        problem(&without, 401, "token missing");
        system.gateway.internal.get("/health/ready").header("host", host).await.expect(200);
    }

    finish(system).await;
}

async fn the_console_is_open_to_browsers_by_the_names_of_this_machine_and_those_of_admin_names() {
    let names = "gateway.example, 10.0.0.1";
    let system = with_token().env(Service::Gateway, "ADMIN_NAMES", names).start().await;

    for host in ["localhost:8081", "127.0.0.1:8081", "[::1]:8081", "Gateway.Example:8081", "10.0.0.1"] {
        let origin = format!("http://{host}");
        let same_origin = [("sec-fetch-site", "same-origin"), ("origin", origin.as_str())];
        log_in(&system, host, &same_origin).await.expect(204);
        with_bearer(&system, host, "/console/state", &same_origin).await.expect(200);
    }
    wrong_host(&log_in(&system, "evil.example:8081", &[]).await);

    finish(system).await;
}

async fn a_page_of_somewhere_else_has_nothing_read_but_may_lead_to_the_console() {
    let system = system().without_broker().start().await;
    let admin = &system.gateway.internal;
    let fetched =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "no-cors"), ("sec-fetch-dest", "empty")];
    let followed =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")];
    let framed =
        [("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "iframe")];
    let asked = async |method: Method, path: &str, headers: &[(&str, &str)]| {
        let call = admin.call(method, path);
        headers.iter().fold(call, |call, (name, value)| call.header(name, value)).await
    };

    for path in ["/dead-letters", "/console/state", "/console/ledger?q=u1", "/actors", "/metrics", "/"] {
        problem(&asked(Method::GET, path, &fetched).await, 403, "cross-site request");
        problem(
            &asked(Method::GET, path, &[("origin", "http://evil.example")]).await,
            403,
            "cross-site request",
        );
        assert_eq!(asked(Method::HEAD, path, &fetched).await.status, 403, "{path}");
    }
    for path in ["/", "/console/index.html"] {
        asked(Method::GET, path, &followed).await.expect(200);
        problem(&asked(Method::GET, path, &framed).await, 403, "cross-site request");
    }
    problem(&asked(Method::GET, "/dead-letters", &followed).await, 403, "cross-site request");
    problem(&asked(Method::POST, "/", &followed).await, 403, "cross-site request");
    // What the console's own page reads, and what somebody opens by its address.
    asked(Method::GET, "/console/state", &[("sec-fetch-site", "same-origin")]).await.expect(200);
    asked(Method::GET, "/actors", &[("sec-fetch-site", "none"), ("sec-fetch-mode", "navigate")])
        .await
        .expect(200);

    finish(system).await;
}

async fn names_are_taken_where_there_is_no_token_too() {
    let names = "gateway.example";
    let system = system().without_broker().env(Service::Gateway, "ADMIN_NAMES", names).start().await;
    let admin = &system.gateway.internal;

    admin.get("/actors").header("host", "gateway.example:8081").await.expect(200);
    wrong_host(&admin.get("/actors").header("host", "evil.example:8081").await);

    finish(system).await;
}

async fn a_name_that_is_none_is_a_mistake() {
    let setup = system().without_broker().env(Service::Gateway, "ADMIN_NAMES", "http://gateway.example");
    let system = setup.prepare().await;
    system.gateway.start();

    let status = system.gateway.ended(Duration::from_secs(10)).await;

    assert_eq!(status.code(), Some(78));
    let complaint = "ADMIN_NAMES must be names without scheme and port";
    assert!(system.gateway.log_contains(complaint), "{}", system.gateway.log());
    finish(system).await;
}

fn with_token() -> Setup {
    system().without_broker().env(Service::Gateway, "ADMIN_TOKEN", TOKEN)
}

async fn log_in(system: &System, host: &str, headers: &[(&str, &str)]) -> Answer {
    let mut call = system.gateway.internal.post("/session").json(&json!({ "token": TOKEN }));
    for (name, value) in headers.iter().chain(&[("host", host)]) {
        call = call.header(name, value);
    }
    call.await
}

async fn with_bearer(system: &System, host: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
    let mut call = system.gateway.internal.get(path).header("authorization", &format!("Bearer {TOKEN}"));
    for (name, value) in headers.iter().chain(&[("host", host)]) {
        call = call.header(name, value);
    }
    call.await
}

fn wrong_host(answer: &Answer) {
    problem(answer, 403, "wrong host");
    assert!(answer.text().contains("add that to ADMIN_NAMES"), "{answer}");
}

async fn finish(system: System) {
    system.expect_no_broker();
    system.finish().await;
}

warren::stories! {
    without a broker:
        a_page_at_a_name_of_its_own_gets_nothing_even_with_the_token,
        who_is_no_browser_and_has_the_token_may_use_any_name,
        the_console_is_open_to_browsers_by_the_names_of_this_machine_and_those_of_admin_names,
        a_page_of_somewhere_else_has_nothing_read_but_may_lead_to_the_console,
        names_are_taken_where_there_is_no_token_too,
        a_name_that_is_none_is_a_mistake;
}
