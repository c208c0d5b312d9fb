//! Logging in gives a token that whoever has the published keys can verify, and nothing else about anybody.

use std::time::{Duration, SystemTime};

use common::auth::{Claims, Issuer, KeySet};
use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};
use warren::harness::{Setup, System, eventually};
use warren::http::{Answer, Http};

use crate::support::{Actors, inject, problem, system, wait_next_generation};

const SESSIONS: &str = "/users/sessions";
const KEYS: &str = "/.well-known/jwks.json";

/// A users service alone, without a broker: who may come in is nobody else's business.
async fn users(setup: Setup) -> System {
    let system = setup.without_broker().prepare().await;
    system.expect_no_broker();
    system.users.start();
    system.users.wait_ready().await;
    system
}

async fn log_in(users: &Http, email: &str, password: &str) -> Answer {
    users.post(SESSIONS).json(&json!({ "email": email, "password": password })).await
}

async fn register(users: &Http, email: &str, password: Option<&str>) -> String {
    let mut user = json!({ "name": "Grace", "email": email, "role": "admin" });
    if let Some(password) = password {
        user["password"] = json!(password);
    }
    let registered = users.post("/users").json(&user).await.expect(201).json();
    registered["id"].as_str().expect("an id").to_owned()
}

/// Verifies a token as the gateway does, by what is published just now.
async fn verified(users: &Http, session: &Answer) -> Claims {
    let token = session.json()["token"].as_str().expect("a token").to_owned();
    let document = users.get(KEYS).await.expect(200);
    let keys = KeySet::parse(&document.body).expect("a key set");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    keys.verify(token.as_bytes(), &Issuer::default(), now).unwrap_or_else(|error| panic!("{error}: {token}"))
}

async fn kids(users: &Http) -> Vec<String> {
    let document = users.get(KEYS).await.expect(200).json();
    let keys = document["keys"].as_array().expect("keys").clone();
    keys.iter().map(|key| key["kid"].as_str().expect("a kid").to_owned()).collect()
}

async fn whoever_registered_with_a_password_gets_a_token_for_it() {
    let system = users(system()).await;
    let users = &system.users.http;
    let grace = register(users, "grace@example.com", Some("correct horse")).await;

    let session = log_in(users, "Grace@Example.com", "correct horse").await.expect(201);

    assert_eq!(session.header("cache-control"), Some("no-store"));
    let body = session.json();
    assert_eq!((&body["tokenType"], &body["expiresIn"]), (&json!("Bearer"), &json!(3600)));
    assert_eq!(body.as_object().map(|body| body.len()), Some(3), "{body}");
    let claims = verified(users, &session).await;
    assert_eq!((claims.sub.as_str(), claims.role.as_str()), (grace.as_str(), "user"), "a wish is no role");
    assert_eq!(claims.exp - claims.iat, 3600);

    let ada = log_in(users, "ada@example.com", "correct horse battery").await.expect(201);
    assert_eq!(verified(users, &ada).await.sub, "u1", "the demo's Ada");

    let shown = users.get(&format!("/users/{grace}")).await.expect(200).json();
    let mut members: Vec<&str> = shown.as_object().expect("an object").keys().map(String::as_str).collect();
    members.sort_unstable();
    assert_eq!(members, ["createdAt", "email", "id", "lastOrderAt", "name", "orderCount"]);
    system.finish().await;
}

async fn who_has_no_account_takes_as_much_work_as_who_has_a_wrong_password_and_learns_as_little() {
    let system = users(system()).await;
    let users = &system.users.http;
    register(users, "grace@example.com", Some("correct horse")).await;
    register(users, "alan@example.com", None).await;
    let hashed = async || {
        let actors = system.users.actors().await;
        let all = actors["actors"].as_array().expect("actors").clone();
        let pool = all.iter().find(|actor| actor["name"] == "passwords").expect("the pool").clone();
        pool["observed"]["accepted"].as_u64().expect("a count")
    };

    let mut told = Vec::new();
    for (email, password) in [
        ("grace@example.com", "wrong horse"),
        ("nobody@example.com", "correct horse"),
        ("alan@example.com", "correct horse"),
        ("grace@example.com", "x"),
        ("nobody@example.com", "$argon2id$v=19$m=19456,t=2,p=1$bm9ib2R5J3Mgc2FsdA$AA"),
    ] {
        let before = hashed().await;
        let answer = log_in(users, email, password).await;

        let mut problem = problem(&answer, 401, "wrong email or password");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer realm=\"warren\""), "{answer}");
        assert_eq!(hashed().await, before + 1, "{email} costs one hash");
        problem.as_object_mut().expect("an object").remove("requestId");
        told.push(problem);
    }
    assert!(told.iter().all(|problem| *problem == told[0]), "{told:?}");
    system.finish().await;
}

async fn what_is_missing_is_named() {
    let system = users(system()).await;
    let users = &system.users.http;

    for (body, fields) in [
        (json!({}), &["email", "password"][..]),
        (json!({ "email": "ada@example.com" }), &["password"]),
        (json!({ "password": "correct horse" }), &["email"]),
        (json!({ "email": "ada", "password": "" }), &["email", "password"]),
        (json!({ "email": null, "password": null }), &["email", "password"]),
    ] {
        let answer = users.post(SESSIONS).json(&body).await;
        let problem = problem(&answer, 422, "invalid fields");
        let named: Vec<&str> = problem["errors"]
            .as_array()
            .expect("errors")
            .iter()
            .filter_map(|e| e["field"].as_str())
            .collect();
        assert_eq!(named, fields, "{answer}");
    }
    for wrong in [json!({ "email": 5, "password": "x" }), json!([]), json!("x")] {
        assert_eq!(users.post(SESSIONS).json(&wrong).await.status, 400, "{wrong}");
    }
    let other = users.get(SESSIONS).await;
    problem(&other, 405, "method not allowed");
    assert_eq!(users.call(Method::DELETE, KEYS).await.status, 405);
    system.finish().await;
}

async fn more_logins_than_can_be_hashed_soon_are_told_to_come_back() {
    let system = users(system()).await;
    // A client of its own for each, so that each has a connection of its own.
    let clients: Vec<Http> = (0..150).map(|_| Http::new(system.users.http.base())).collect();

    let answers =
        join_all(clients.iter().map(|client| log_in(client, "ada@example.com", "wrong horse"))).await;

    let (refused, rest): (Vec<_>, Vec<_>) = answers.into_iter().partition(|answer| answer.status == 503);
    assert!(!refused.is_empty() && !rest.is_empty(), "{} of 150 were refused", refused.len());
    for answer in &refused {
        problem(answer, 503, "overloaded");
        assert_eq!(answer.header("retry-after"), Some("1"), "{answer}");
    }
    for answer in &rest {
        problem(answer, 401, "wrong email or password");
    }
    system.finish().await;
}

async fn keys_and_tokens_outlive_a_kill() {
    let system = users(system()).await;
    let users = &system.users.http;
    let document = users.get(KEYS).await.expect(200);
    assert_eq!(document.header("cache-control"), Some("public, max-age=60"));
    assert_eq!(document.header("content-type"), Some("application/json"));
    let session = log_in(users, "ada@example.com", "correct horse battery").await.expect(201);

    system.users.kill9();
    system.users.restart().await;

    assert_eq!(users.get(KEYS).await.expect(200).body, document.body);
    assert_eq!(verified(users, &session).await.sub, "u1");
    system.finish().await;
}

async fn a_new_key_is_published_before_it_signs_and_the_old_one_stays() {
    let short = system().env_of_all("AUTH_KEY_LIFETIME_S", "8").env_of_all("AUTH_TOKEN_LIFETIME_S", "120");
    let system = users(short).await;
    let users = &system.users.http;
    let first = kids(users).await;
    let old = log_in(users, "ada@example.com", "correct horse battery").await.expect(201);
    let signed_by = async || {
        // What is published is read first: whoever signs must have been in it.
        let published = kids(users).await;
        let session = log_in(users, "ada@example.com", "correct horse battery").await.expect(201).json();
        let kid = kid_of(session["token"].as_str().expect("a token"));
        assert!(published.contains(&kid), "{kid} signs and was not among {published:?}");
        (kid, published)
    };
    assert_eq!(first.len(), 1);

    let (kid, published) = eventually(Duration::from_secs(30), "a second key is published", async || {
        let (kid, published) = signed_by().await;
        if published.len() > 1 { Ok((kid, published)) } else { Err(published.join(",")) }
    })
    .await;
    assert_eq!(kid, first[0], "the new one is published, and the old one signs");
    eventually(Duration::from_secs(30), "the second key signs", async || {
        let (kid, _) = signed_by().await;
        if kid == published[1] { Ok(()) } else { Err(kid) }
    })
    .await;

    assert_eq!(verified(users, &old).await.sub, "u1", "a token of the old key is still good");
    system.finish().await;
}

async fn users_log_in_while_the_actor_that_keeps_the_keys_restarts() {
    let system = users(system().env_of_all("DEMO_FAULTS", "true")).await;
    let users = &system.users.http;
    let before = kids(users).await;

    for fault in ["panic", "stop"] {
        let generation = Actors::of(&system.users).await.generation("signing-keys");
        inject(&system.users, "signing-keys", fault).await.expect(202);
        let session = log_in(users, "ada@example.com", "correct horse battery").await.expect(201);
        assert_eq!(verified(users, &session).await.sub, "u1");
        wait_next_generation(&system.users, "signing-keys", generation, Duration::from_secs(10)).await;
    }

    assert_eq!(kids(users).await, before, "a restart makes no new key");
    system.finish().await;
}

async fn an_admin_comes_from_the_environment_alone() {
    let system = users(
        system()
            .env_of_all("ADMIN_EMAIL", "Root@example.com")
            .env_of_all("ADMIN_PASSWORD", "correct battery"),
    )
    .await;
    let users = &system.users.http;
    let role = async |email: &str, password: &str| {
        let session = log_in(users, email, password).await.expect(201);
        verified(users, &session).await.role.as_str().to_owned()
    };

    assert_eq!(role("root@example.com", "correct battery").await, "admin");
    assert_eq!(role("ada@example.com", "correct horse battery").await, "user");

    // Another admin, who exists already.
    system.users.set_env("ADMIN_EMAIL", "ada@example.com");
    system.users.set_env("ADMIN_PASSWORD", "other horse battery");
    system.users.terminate().await;
    system.users.restart().await;
    assert_eq!(role("ada@example.com", "other horse battery").await, "admin");
    problem(&log_in(users, "ada@example.com", "correct horse battery").await, 401, "wrong email or password");
    assert_eq!(
        role("root@example.com", "correct battery").await,
        "admin",
        "nobody is admin no more by silence"
    );

    system.users.set_env("ADMIN_PASSWORD", "secret");
    system.users.terminate().await;
    system.users.start();
    let status = system.users.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(78));
    let log = system.users.log();
    assert!(log.contains("ADMIN_PASSWORD must be at least 8 characters long"), "{log}");
    system.finish().await;
}

async fn no_secret_is_shown_or_logged() {
    let system = users(system().env_of_all("RUST_LOG", "debug")).await;
    let users = &system.users.http;
    register(users, "grace@example.com", Some("correct-horse-8571")).await;
    let session = log_in(users, "grace@example.com", "correct-horse-8571").await.expect(201).json();
    log_in(users, "grace@example.com", "wrong-horse-8571").await.expect(401);
    let signature = session["token"].as_str().and_then(|token| token.rsplit('.').next()).expect("a token");

    let document = users.get(KEYS).await.expect(200).json();
    for key in document["keys"].as_array().expect("keys") {
        let mut members: Vec<&str> = key.as_object().expect("an object").keys().map(String::as_str).collect();
        members.sort_unstable();
        assert_eq!(members, ["alg", "crv", "kid", "kty", "use", "x"], "the public half alone");
    }
    let actors = system.users.actors().await;
    let observed =
        actors["actors"].as_array().and_then(|all| all.iter().find(|a| a["name"] == "signing-keys"));
    let key = observed.map(|actor| actor["observed"]["keys"][0].clone()).expect("the actor answers");
    assert_eq!(key.as_object().map(|key| key.len()), Some(2), "a name and a time: {key}");
    for text in [system.users.log(), actors.to_string(), metrics(&system).await] {
        for secret in ["horse-8571", "argon2id", "\"seed\"", signature] {
            assert!(!text.contains(secret), "{secret} in {text}");
        }
    }
    system.finish().await;
}

async fn metrics(system: &System) -> String {
    system.users.internal.get("/metrics").await.expect(200).text()
}

/// Reads which key signed, without verifying anything.
fn kid_of(token: &str) -> String {
    let header = token.split('.').next().expect("a header");
    let bits: Vec<u8> = header
        .bytes()
        .map(|b| {
            let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
            letters.iter().position(|letter| *letter == b).expect("base64url") as u8
        })
        .collect();
    let json: Vec<u8> = bits
        .chunks(4)
        .flat_map(|four| {
            let word =
                four.iter().fold(0_u32, |word, six| (word << 6) | u32::from(*six)) << (6 * (4 - four.len()));
            word.to_be_bytes()[1..four.len()].to_vec()
        })
        .collect();
    let header: Value = serde_json::from_slice(&json).expect("JSON");
    header["kid"].as_str().expect("a kid").to_owned()
}

warren::stories! {
    without a broker:
        whoever_registered_with_a_password_gets_a_token_for_it,
        who_has_no_account_takes_as_much_work_as_who_has_a_wrong_password_and_learns_as_little,
        what_is_missing_is_named,
        more_logins_than_can_be_hashed_soon_are_told_to_come_back,
        keys_and_tokens_outlive_a_kill,
        a_new_key_is_published_before_it_signs_and_the_old_one_stays,
        users_log_in_while_the_actor_that_keeps_the_keys_restarts,
        an_admin_comes_from_the_environment_alone,
        no_secret_is_shown_or_logged;
}
