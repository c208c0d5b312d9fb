//! The API describes itself, whole, also while a part of it is away.

use std::collections::BTreeSet;
use std::time::Duration;

use common::http::flaws;
use serde_json::Value;
use warren::harness::{System, eventually};
use warren::service::Service;

use crate::support::system;

/// All that a client may call.
const OPERATIONS: [&str; 9] = [
    "get /.well-known/jwks.json",
    "get /api/orders",
    "get /api/orders/{id}",
    "get /api/users",
    "get /api/users/{id}",
    "post /api/orders",
    "post /api/orders/{id}/cancel",
    "post /api/users",
    "post /api/users/sessions",
];

fn operations(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap_or_else(|| panic!("no paths in {document}"));
    let named = |(path, item): (&String, &Value)| {
        let methods: Vec<String> = item.as_object().expect("an item").keys().cloned().collect();
        methods.into_iter().map(|method| format!("{method} {path}")).collect::<Vec<_>>()
    };
    paths.iter().flat_map(named).collect()
}

/// The document, once both services are in it.
async fn document(system: &System) -> Value {
    eventually(Duration::from_secs(20), "both services are described", async || {
        let answer = system.api.get("/api/openapi.json").await;
        match answer.status.as_u16() {
            200 if answer.text().contains("/api/orders") && answer.text().contains("/api/users") => {
                assert_eq!(answer.header("content-type"), Some("application/json"), "{answer}");
                Ok(answer.json())
            }
            _ => Err(answer),
        }
    })
    .await
}

async fn one_document_describes_what_every_service_serves() {
    let system = system().env(Service::Gateway, "AUTH", "required").start().await;

    let document = document(&system).await;

    let expected: BTreeSet<String> = OPERATIONS.map(str::to_owned).into();
    assert_eq!(operations(&document), expected);
    assert_eq!(flaws(&document), [""; 0]);
    assert_eq!(document["openapi"], "3.1.0");
    let security = |path: &str, method: &str| document["paths"][path][method]["security"].to_string();
    assert_eq!(security("/api/users/sessions", "post"), "[]", "nobody has a token to get one");
    assert_eq!(security("/api/users", "post"), "[]");
    assert_eq!(security("/api/orders", "get"), "[{\"bearerAuth\":[]}]");
    let text = document.to_string();
    for inside in ["127.0.0.1", "/actors", "/metrics", "/health", "x-warren"] {
        assert!(!text.to_lowercase().contains(inside), "{inside} is nobody's business outside");
    }
    system.finish().await;
}

async fn a_page_shows_it_with_what_is_in_the_gateway_alone() {
    let system = system().start().await;

    let page = system.api.get("/api/docs/").await.expect(200);
    let policy = page.header("content-security-policy").expect("a policy");
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    let html = page.text();
    let assets: Vec<&str> =
        html.split('"').filter(|part| [".css", ".js"].iter().any(|end| part.ends_with(end))).collect();
    assert!(assets.len() >= 4, "{assets:?}");
    for asset in assets {
        let answer = system.api.get(&format!("/api/docs/{asset}")).await.expect(200);
        assert!(!answer.body.is_empty() && !asset.contains("://"), "{asset}");
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{asset}");
    }
    let redirect = system.api.get("/api/docs").await.expect(308);
    assert_eq!(redirect.header("location"), Some("/api/docs/"));
    system.finish().await;
}

async fn what_a_service_said_of_itself_stays_while_it_is_away() {
    let system = system().start().await;
    let before = document(&system).await;

    system.users.kill9();
    eventually(Duration::from_secs(10), "the gateway knows that users is away", async || {
        let ready = system.api.get("/health/ready").await;
        if ready.text().contains("users") { Ok(()) } else { Err(ready) }
    })
    .await;

    assert_eq!(document(&system).await, before);
    system.users.restart().await;
    system.finish().await;
}

warren::stories! {
    // About what the gateway says to clients, which knows no broker.
    on the embedded broker:
        one_document_describes_what_every_service_serves,
        a_page_shows_it_with_what_is_in_the_gateway_alone,
        what_a_service_said_of_itself_stays_while_it_is_away;
}
