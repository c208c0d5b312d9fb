//! The rules of the architecture that a machine can judge: who names whom, in sources and in manifests.

use std::env;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::source::{Kind, Token, root, rust_files, tokens, tokens_outside_tests, words};

/// What the services are about, and `common` is not.
const BUSINESS: [&str; 6] = ["user", "users", "order", "orders", "customer", "customers"];

/// Words of protocols that `common` has to use. Each must be needed, so that none outlives its reason.
const PROTOCOLS: [(&str, &str); 2] = [
    // TCP_USER_TIMEOUT.
    ("common/src/http/server.rs", "set_tcp_user_timeout"),
    // The user of a URL, who logs in at the broker.
    ("common/src/broker/config.rs", "must look like amqp://user:password@host:5672/vhost"),
];

/// The rooms in which HTTP is spoken: folders, or files of that name.
const HTTP_ROOMS: [&str; 3] = ["http", "routes", "startup"];

/// What a domain, plain types and pure functions, does without.
const OUTSIDE: [&str; 5] = ["actix", "actix_rt", "actix_web", "lapin", "tokio"];

/// The packages of the system.
const PACKAGES: [&str; 5] = ["common", "users", "orders", "gateway", "warren"];

/// The folders in which the system's sources are. The suite beside looks at the broker from outside.
const SOURCES: [&str; 5] = ["common/src", "users/src", "orders/src", "gateway/src", "tests/src"];

async fn common_knows_no_user_and_no_order() {
    let mut findings = Vec::new();
    let mut unneeded = PROTOCOLS.to_vec();
    for file in rust_files("common/src") {
        // Tests may call their examples what they like.
        if file.ends_with("/tests.rs") {
            continue;
        }
        for (line, text) in business(&tokens_outside_tests(&read(&file))) {
            match PROTOCOLS.contains(&(file.as_str(), text.as_str())) {
                true => unneeded.retain(|word| *word != (file.as_str(), text.as_str())),
                false => findings.push(format!("{file}:{line}: {text}")),
            }
        }
    }

    assert_eq!(findings, [""; 0], "a service's word in common");
    assert_eq!(unneeded, [], "exceptions that nothing needs any more");
}

async fn lapin_is_named_only_in_the_broker_room() {
    let elsewhere = |file: &str| !file.starts_with("common/src/broker/");

    assert_eq!(named(&["lapin"], SOURCES, elsewhere), [""; 0], "lapin outside the broker room");
    assert_ne!(named(&["lapin"], SOURCES, |_| true), [""; 0], "it is named somewhere");
}

async fn actix_web_is_named_only_where_http_is_spoken() {
    let elsewhere = |file: &str| !is_http_room(file);

    assert_eq!(
        named(&["actix_web", "actix_http"], SOURCES, elsewhere),
        [""; 0],
        "actix-web outside the HTTP rooms"
    );
    assert_ne!(named(&["actix_web"], SOURCES, |_| true), [""; 0], "it is named somewhere");
}

async fn the_gateway_writes_its_bytes_itself() {
    const ALLOWED: [&str; 1] = ["common/src/http/client.rs"];
    let for_clients = |file: &str| !file.starts_with("gateway/src/console/routes/");
    assert_eq!(
        named(&["actix_web", "actix_http", "awc"], ["gateway/src"], for_clients),
        [""; 0],
        "actix-web in the gateway outside its admin port"
    );

    let services = ["common/src", "users/src", "orders/src", "gateway/src"];
    let elsewhere = named(&["hyper", "hyper_util"], services, |file| !ALLOWED.contains(&file));
    assert_eq!(elsewhere, [""; 0], "hyper outside the one client");
    assert_ne!(named(&["hyper_util"], services, |_| true), [""; 0], "it is named somewhere");
}

async fn a_domain_names_nothing_of_the_outside() {
    // With their tests: what is pure is tested without help.
    assert_eq!(
        named(&OUTSIDE, ["users/src/domain", "orders/src/domain"], |_| true),
        [""; 0],
        "a domain that is not pure"
    );
}

async fn services_meet_in_json_and_not_in_code() {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--offline", "--no-deps", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs this test, so it is there");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");

    let mut packages: Vec<&str> = packages(&metadata).map(|package| text(&package["name"])).collect();
    packages.sort_unstable();
    let mut known = PACKAGES;
    known.sort_unstable();
    assert_eq!(packages, known, "a new package needs its place in these rules");
    assert_eq!(forbidden_dependencies(&metadata), [""; 0], "packages that must not depend on each other");
}

/// The tokens that speak of the business, with their lines.
fn business(tokens: &[Token]) -> Vec<(usize, String)> {
    let speaks = |token: &&Token| {
        token.kind != Kind::Punctuation
            && words(&token.text).iter().any(|word| BUSINESS.contains(&word.as_str()))
    };
    tokens.iter().filter(speaks).map(|token| (token.line, token.text.clone())).collect()
}

/// Where identifiers are named, in the files below the folders that `matters` picks.
fn named<const N: usize>(
    identifiers: &[&str],
    folders: [&str; N],
    matters: impl Fn(&str) -> bool,
) -> Vec<String> {
    let files = folders.into_iter().flat_map(rust_files).filter(|file| matters(file));
    files
        .flat_map(|file| {
            let lines = lines_naming(identifiers, &read(&file));
            lines.into_iter().map(move |line| format!("{file}:{line}"))
        })
        .collect()
}

fn lines_naming(identifiers: &[&str], code: &str) -> Vec<usize> {
    let named = |token: &&Token| token.kind == Kind::Identifier && identifiers.contains(&token.text.as_str());
    tokens(code).iter().filter(named).map(|token| token.line).collect()
}

fn is_http_room(file: &str) -> bool {
    file.trim_end_matches(".rs").split('/').any(|part| HTTP_ROOMS.contains(&part))
}

/// Every dependency, of whatever kind and under whatever name, that a rule forbids.
fn forbidden_dependencies(metadata: &Value) -> Vec<String> {
    let mut findings = Vec::new();
    for package in packages(metadata) {
        let package_name = text(&package["name"]);
        for dependency in package["dependencies"].as_array().expect("a list") {
            let (name, is_dev) = (text(&dependency["name"]), dependency["kind"] == "dev");
            let allowed = match (package_name, name) {
                // The launcher runs them all.
                ("warren", "users" | "orders" | "gateway") => true,
                (_, "users" | "orders" | "gateway" | "warren") => false,
                ("common", "lapin") => true,
                (_, "lapin") => package_name == "warren" && is_dev,
                ("warren", "actix-web") => false,
                ("users" | "orders" | "gateway", "hyper" | "hyper-util") => is_dev,
                _ => true,
            };
            if !allowed {
                findings.push(format!("{package_name} depends on {name}"));
            }
        }
    }
    findings
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().expect("cargo lists packages").iter()
}

fn text(value: &Value) -> &str {
    value.as_str().expect("a text")
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

// The judge is judged: what it must find in bad code, and what it must not find in good code.

async fn a_service_in_common_is_found_in_whatever_way_it_is_written() {
    for code in [
        "struct UserId;",
        "fn place_order() {}",
        "use users::User;",
        "const QUEUE: &str = \"users.order-created\";",
        "let key = r#\"{\"userId\":1}\"#;",
        "let path = b\"/orders\";",
        "fn f(customer: &str) {}",
        "mod r#order;",
        "let c = '\"'; let x = \"orderCount\";",
        "/* a /* nested */ comment */ enum HTTPOrder { A }",
        "#[cfg(test)] mod tests { fn f() { \"}\"; } } struct Order;",
    ] {
        assert_eq!(business(&tokens_outside_tests(code)).len().min(1), 1, "{code}");
    }
}

async fn words_that_only_look_like_a_service_are_not_taken_for_one() {
    for code in [
        "use std::sync::atomic::Ordering; Ordering::Relaxed;",
        "fn sort_by_ordering(ordered: bool) { reorder(); }",
        "// in the order of users\nfn f() {}",
        "/// The order of the user.\nstruct Row;",
        "/* users /* orders */ customers */ struct Row;",
        "struct Border; fn superuser() {}",
        "#[cfg(test)]\nmod tests { const QUEUE: &str = \"users.order-created\"; fn f() { { } } }\nstruct Row;",
        "#[cfg(test)] mod order;",
        "impl<'order> Row<'order> { const C: char = 'u'; }",
    ] {
        assert_eq!(business(&tokens_outside_tests(code)), [], "{code}");
    }
}

async fn a_library_is_found_where_code_names_it_and_not_where_a_comment_does() {
    for code in [
        "use lapin::Channel;",
        "fn f(_: ::lapin::Error) {}",
        "pub use lapin as amqp;",
        "extern crate lapin;",
        "macro_rules! m { () => { lapin::Connection } }",
        "#[cfg(test)] mod tests { use lapin::types::*; }",
    ] {
        assert_eq!(lines_naming(&["lapin"], code), [1], "{code}");
    }
    assert_eq!(lines_naming(&["lapin"], "// lapin\n\"lapin=off\"; lapin_like(); 'l'; /* lapin */"), [0; 0]);
    assert_eq!(lines_naming(&["lapin"], "\n\n\"\n\"\nlapin"), [5]);
}

async fn rooms_are_told_apart_by_whole_names() {
    for room in [
        "common/src/http/server.rs",
        "users/src/routes/mod.rs",
        "orders/src/startup.rs",
        "a/src/startup/demo.rs",
    ] {
        assert!(is_http_room(room), "{room}");
    }
    for room in [
        "common/src/service.rs",
        "users/src/httpx.rs",
        "gateway/src/routing.rs",
        "users/src/domain/http_like.rs",
    ] {
        assert!(!is_http_room(room), "{room}");
    }
}

async fn every_forbidden_dependency_is_found_of_whatever_kind() {
    let package = |name: &str, dependency: &str, kind: Value| json!({ "packages": [{ "name": name, "dependencies": [{ "name": dependency, "kind": kind }] }] });
    for (name, dependency, kind) in [
        ("common", "users", json!(null)),
        ("common", "orders", json!("dev")),
        ("common", "warren", json!(null)),
        ("users", "orders", json!(null)),
        ("orders", "users", json!("dev")),
        ("gateway", "users", json!("build")),
        ("users", "gateway", json!(null)),
        ("users", "lapin", json!(null)),
        ("orders", "lapin", json!("dev")),
        ("warren", "lapin", json!(null)),
        ("warren", "actix-web", json!("dev")),
        ("gateway", "hyper", json!(null)),
    ] {
        assert_eq!(
            forbidden_dependencies(&package(name, dependency, kind)).len(),
            1,
            "{name} on {dependency}"
        );
    }
    for (name, dependency, kind) in [
        ("users", "common", json!(null)),
        ("common", "lapin", json!(null)),
        ("warren", "lapin", json!("dev")),
        ("warren", "users", json!(null)),
        ("users", "actix-web", json!(null)),
        ("gateway", "hyper", json!("dev")),
    ] {
        assert_eq!(
            forbidden_dependencies(&package(name, dependency, kind)),
            [""; 0],
            "{name} on {dependency}"
        );
    }
}

warren::stories! {
    without a broker:
        common_knows_no_user_and_no_order,
        lapin_is_named_only_in_the_broker_room,
        actix_web_is_named_only_where_http_is_spoken,
        the_gateway_writes_its_bytes_itself,
        a_domain_names_nothing_of_the_outside,
        services_meet_in_json_and_not_in_code,
        a_service_in_common_is_found_in_whatever_way_it_is_written,
        words_that_only_look_like_a_service_are_not_taken_for_one,
        a_library_is_found_where_code_names_it_and_not_where_a_comment_does,
        rooms_are_told_apart_by_whole_names,
        every_forbidden_dependency_is_found_of_whatever_kind;
}
