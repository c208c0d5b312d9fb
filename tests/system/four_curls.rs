//! The README's four commands, word for word, and what else a client does with users and orders on a good day.

use std::collections::BTreeSet;
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::process::Command;
use warren::harness::{System, eventually};
use warren::http::Http;

use crate::support::{problem, system};

async fn the_four_commands_work_word_for_word_on_a_fresh_system() {
    let system = system().start().await;

    let (status, order) = curl(
        &system,
        r#"curl -X POST http://localhost:8080/api/orders -H "Content-Type: application/json" -d '{"userId":"u1","items":["book"]}'"#,
    )
    .await;
    assert_eq!(status, 201, "{order}");
    assert!(order["id"].as_str().is_some_and(|id| !id.is_empty()), "{order}");
    assert_eq!(
        (&order["userId"], &order["items"], &order["status"]),
        (&json!("u1"), &json!(["book"]), &json!("created"))
    );

    eventually(Duration::from_secs(1), "Ada has one order", async || {
        let (status, user) = curl(&system, "curl http://localhost:8080/api/users/u1").await;
        assert_eq!((status, &user["name"]), (200, &json!("Ada")), "{user}");
        if user["orderCount"] == 1 { Ok(()) } else { Err(user) }
    })
    .await;

    let (status, grace) = curl(
        &system,
        r#"curl -X POST http://localhost:8080/api/users -H "Content-Type: application/json" -d '{"name":"Grace","email":"grace@example.com"}'"#,
    )
    .await;
    assert_eq!(status, 201, "{grace}");
    assert_eq!((&grace["name"], &grace["email"]), (&json!("Grace"), &json!("grace@example.com")));

    let (status, refusal) = curl(
        &system,
        r#"curl -X POST http://localhost:8080/api/orders -H "Content-Type: application/json" -d '{"userId":"nobody","items":["book"]}'"#,
    )
    .await;
    assert_eq!((status, &refusal["error"]), (400, &json!("invalid user")), "{refusal}");

    system.finish().await;
}

async fn an_order_names_its_customer_and_is_cancelled_once() {
    let system = system().start().await;
    let placed = place(&system.api, "u1", &["book", "pen"]).await;
    let path = format!("/api/orders/{}", text(&placed["id"]));

    let shown = eventually(Duration::from_secs(5), "the order names its customer", async || {
        let order = system.api.get(&path).await.expect(200).json();
        if order["customerName"] == "Ada" { Ok(order) } else { Err(order) }
    })
    .await;
    assert_eq!(without(&shown, "customerName"), placed);
    wait_order_count(&system, "u1", 1).await;

    let cancelled = system.api.post(&format!("{path}/cancel")).await.expect(200).json();
    assert_eq!(cancelled["status"], "cancelled");
    assert_eq!((&cancelled["id"], &cancelled["createdAt"]), (&placed["id"], &placed["createdAt"]));
    assert!(cancelled["cancelledAt"].is_string(), "{cancelled}");
    let again = system.api.post(&format!("{path}/cancel")).await;
    problem(&again, 409, "order already cancelled");

    let user = wait_order_count(&system, "u1", 0).await;
    assert_eq!(user["lastOrderAt"], placed["createdAt"], "a cancelled order was placed all the same");
    let shown = system.api.get(&path).await.expect(200).json();
    assert_eq!(without(&shown, "customerName"), cancelled);
    system.finish().await;
}

async fn the_location_of_what_was_made_leads_to_it() {
    let system = system().start().await;

    let body = json!({ "name": "Grace", "email": "Grace@Example.com" });
    let user = system.api.post("/api/users").json(&body).await.expect(201);
    let found = system.api.get(user.header("location").expect("201 has a Location")).await.expect(200).json();
    let at_start = json!({ "orderCount": 0, "lastOrderAt": null });
    assert_eq!(found, merged(&user.json(), &at_start), "nothing more, and no password");

    let body = json!({ "userId": user.json()["id"], "items": ["book"] });
    let order = system.api.post("/api/orders").json(&body).await.expect(201);
    let found =
        system.api.get(order.header("location").expect("201 has a Location")).await.expect(200).json();
    assert_eq!(without(&found, "customerName"), order.json());
    system.finish().await;
}

async fn lists_are_paged_with_nothing_twice_and_nothing_left_out() {
    let system = system().start().await;
    let mut users = BTreeSet::from(["u1".to_owned()]);
    for number in 0..7 {
        let body = json!({ "name": format!("User {number}"), "email": format!("{number}@example.com") });
        users.insert(text(&system.api.post("/api/users").json(&body).await.expect(201).json()["id"]));
    }
    let grace = users.first().expect("eight users").clone();
    let (mut orders, mut of_grace) = (BTreeSet::new(), BTreeSet::new());
    for number in 0..12 {
        let user = if number % 3 == 0 { &grace } else { "u1" };
        let id = text(&place(&system.api, user, &["book"]).await["id"]);
        if user == grace {
            of_grace.insert(id.clone());
        }
        orders.insert(id);
    }

    // 12 in pages of 4: the last page is full and says that it is the last.
    for (path, limit, expected) in [
        ("/api/users?", 3, &users),
        ("/api/users?", 100, &users),
        ("/api/orders?", 4, &orders),
        ("/api/orders?", 1, &orders),
        (&format!("/api/orders?userId={grace}&"), 3, &of_grace),
    ] {
        let pages = pages(&system.api, path, limit).await;

        assert_eq!(pages.len(), expected.len().div_ceil(limit), "pages of {path} by {limit}");
        assert!(pages.iter().rev().skip(1).all(|page| page.len() == limit), "{path} by {limit}: {pages:?}");
        let ids: Vec<String> = pages.concat();
        assert_eq!(ids.len(), expected.len(), "{path} by {limit}: {ids:?}");
        assert_eq!(&ids.into_iter().collect::<BTreeSet<_>>(), expected, "{path} by {limit}");
    }
    let nobodys = system.api.get("/api/orders?userId=nobody").await.expect(200).json();
    assert_eq!(nobodys, json!({ "items": [], "nextCursor": null }));
    let first = system.api.get("/api/orders").await.expect(200).json();
    assert_eq!(first["items"].as_array().map(Vec::len), Some(12), "20 without a limit");
    system.finish().await;
}

async fn what_is_placed_while_a_list_is_read_comes_at_its_end() {
    let system = system().start().await;
    let mut expected = Vec::new();
    for _ in 0..4 {
        expected.push(text(&place(&system.api, "u1", &["book"]).await["id"]));
    }

    let mut read = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = system.api.get(&format!("/api/orders?limit=2{cursor}")).await.expect(200).json();
        read.extend(ids(&page));
        let Some(next) = page["nextCursor"].as_str() else { break };
        cursor = format!("&cursor={next}");
        if expected.len() < 7 {
            expected.push(text(&place(&system.api, "u1", &["pen"]).await["id"]));
        }
    }

    assert_eq!(read, expected);
    system.finish().await;
}

/// Runs the command as a shell does, only with the test's port, and returns status and body.
async fn curl(system: &System, command: &str) -> (u16, Value) {
    let here = command.replace("localhost:8080", &format!("localhost:{}", system.gateway.port()));
    assert_ne!(here, command, "the command names the README's port");
    if !has_curl() {
        return without_curl(&here).await;
    }
    let output = Command::new("sh")
        .args([
            "-c",
            &format!(
                r"{here} --silent --show-error --max-time 10 --noproxy '*' --write-out '\n%{{http_code}}'"
            ),
        ])
        .output()
        .await
        .expect("a shell runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{here}: {}", String::from_utf8_lossy(&output.stderr));

    let (body, status) = said.rsplit_once('\n').expect("the status is on a line of its own");
    let body = serde_json::from_str(body).unwrap_or_else(|error| panic!("{error} in {said}"));
    (status.parse().expect("a status code"), body)
}

/// Whether it is installed. Where it is not, that is said once.
fn has_curl() -> bool {
    static HAS_CURL: LazyLock<bool> = LazyLock::new(|| {
        let has_curl = std::process::Command::new("curl").arg("--version").output().is_ok();
        if !has_curl {
            eprintln!("curl is not installed: a client of our own sends what its commands say");
        }
        has_curl
    });
    *HAS_CURL
}

/// Reads as much of curl's language as the README speaks.
async fn without_curl(command: &str) -> (u16, Value) {
    let url = command.split(' ').find(|word| word.starts_with("http://")).expect("a command has a URL");
    let data = command.split_once("-d '").and_then(|(_, data)| data.strip_suffix('\''));
    let http = Http::new("");
    let call = match data.map(|data| serde_json::from_str::<Value>(data).expect("the README's JSON")) {
        Some(body) => http.post(url).json(&body),
        None => http.get(url),
    };
    let answer = call.await;
    (answer.status.as_u16(), answer.json())
}

async fn place(api: &Http, user: &str, items: &[&str]) -> Value {
    api.post("/api/orders").json(&json!({ "userId": user, "items": items })).await.expect(201).json()
}

async fn wait_order_count(system: &System, user: &str, expected: u64) -> Value {
    eventually(Duration::from_secs(5), &format!("{user} has {expected} orders"), async || {
        let user = system.api.get(&format!("/api/users/{user}")).await.expect(200).json();
        if user["orderCount"] == expected { Ok(user) } else { Err(user) }
    })
    .await
}

/// Reads a whole list and returns the ids on each page.
async fn pages(api: &Http, path: &str, limit: usize) -> Vec<Vec<String>> {
    let mut pages = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = api.get(&format!("{path}limit={limit}{cursor}")).await.expect(200).json();
        pages.push(ids(&page));
        assert!(pages.len() < 100, "{path} has no end: {pages:?}");
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return pages,
        }
    }
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap_or_else(|| panic!("no items in {page}"));
    items.iter().map(|item| text(&item["id"])).collect()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text")).to_owned()
}

fn without(object: &Value, member: &str) -> Value {
    let mut object = object.clone();
    object.as_object_mut().expect("an object").remove(member);
    object
}

fn merged(object: &Value, more: &Value) -> Value {
    let mut object = object.clone();
    object.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    object
}

warren::stories! {
    on both brokers:
        the_four_commands_work_word_for_word_on_a_fresh_system,
        an_order_names_its_customer_and_is_cancelled_once,
        the_location_of_what_was_made_leads_to_it,
        lists_are_paged_with_nothing_twice_and_nothing_left_out,
        what_is_placed_while_a_list_is_read_comes_at_its_end;
}
