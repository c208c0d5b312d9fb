//! With `AUTH=required`, whoever has no token gets nothing, and whoever has one gets what is theirs.

use std::time::{Duration, Instant, SystemTime};

use common::auth::{Issuer, KeySet};
use http::Method;
use serde_json::json;
use warren::harness::{Setup, System, eventually};
use warren::http::{Answer, Http};
use warren::service::Service;

use crate::support::{Session, problem, system};

const ADA: (&str, &str) = ("ada@example.com", "correct horse battery");
const ROOT: (&str, &str) = ("root@example.com", "correct battery");

/// A system in which the gateway asks for tokens, and has the keys to verify them.
async fn guarded() -> System {
    let system = setup().start().await;
    wait_keys(&system).await;
    system
}

fn setup() -> Setup {
    let (email, password) = ROOT;
    system().env(Service::Gateway, "AUTH", "required").env(Service::Users, "ADMIN_EMAIL", email).env(
        Service::Users,
        "ADMIN_PASSWORD",
        password,
    )
}

/// The gateway may have asked for them before there were any.
async fn wait_keys(system: &System) {
    eventually(Duration::from_secs(10), "the gateway has keys", async || {
        let refused = system.api.get("/api/users/u1").header("Authorization", "Bearer a.b.c").await;
        if refused.status == 401 { Ok(()) } else { Err(refused) }
    })
    .await;
}

async fn begin(api: &Http, (email, password): (&str, &str)) -> Session {
    Session::begin(api, email, password).await
}

async fn who_registers_and_logs_in_orders_for_itself_and_for_nobody_else() {
    let system = guarded().await;
    let api = &system.api;
    let (id, grace) = Session::register(api, "grace@example.com", "correct horse").await;
    let ada = begin(api, ADA).await;
    let order = |user: &str| json!({ "userId": user, "items": ["book"] });

    let placed = grace.asks(api.post("/api/orders")).json(&order(&id)).await.expect(201).json();
    let path = format!("/api/orders/{}", placed["id"].as_str().expect("an id"));

    assert_eq!(grace.asks(api.get(&path)).await.expect(200).json()["userId"], json!(id));
    grace.asks(api.get(&format!("/api/users/{id}"))).await.expect(200);
    for (who, call) in [
        (&ada, api.get(&path)),
        (&ada, api.post(&format!("{path}/cancel"))),
        (&ada, api.get(&format!("/api/users/{id}"))),
        (&ada, api.get(&format!("/api/orders?userId={id}"))),
        (&ada, api.get("/api/users")),
        (&grace, api.get("/api/users/u1")),
        (&grace, api.post("/api/orders").json(&order("u1"))),
    ] {
        problem(&who.asks(call).await, 403, "forbidden");
    }
    let own = ada.asks(api.get("/api/orders")).await.expect(200).json();
    assert_eq!(own["items"], json!([]), "Ada's own list, in which Grace's order is not");
    grace.asks(api.post(&format!("{path}/cancel"))).await.expect(200);
    system.finish().await;
}

async fn an_admin_may_see_and_change_everything() {
    let system = guarded().await;
    let api = &system.api;
    let (id, grace) = Session::register(api, "grace@example.com", "correct horse").await;
    let order = json!({ "userId": id, "items": ["book"] });
    let placed = grace.asks(api.post("/api/orders")).json(&order).await.expect(201).json();
    let path = format!("/api/orders/{}", placed["id"].as_str().expect("an id"));

    let root = begin(api, ROOT).await;

    for path in ["/api/users", "/api/orders", &path, &format!("/api/users/{id}")] {
        root.asks(api.get(path)).await.expect(200);
    }
    root.asks(api.post("/api/orders")).json(&order).await.expect(201);
    root.asks(api.post(&format!("{path}/cancel"))).await.expect(200);
    problem(&root.asks(api.get("/api/users/nobody")).await, 404, "user not found");
    system.finish().await;
}

async fn without_a_token_there_is_only_what_is_public() {
    let system = guarded().await;
    let api = &system.api;

    for call in [
        api.get("/api/users/u1"),
        api.get("/api/users"),
        api.get("/api/orders"),
        api.post("/api/orders").json(&json!({ "userId": "u1", "items": ["book"] })),
        api.call(Method::DELETE, "/api/users"),
        // What a page asks for before it asks proper is no way around.
        api.call(Method::OPTIONS, "/api/orders"),
    ] {
        let refused = call.await;
        problem(&refused, 401, "token required");
        assert_eq!(refused.header("www-authenticate"), Some("Bearer realm=\"warren\""), "{refused}");
    }
    for (wrong, error) in [
        ("Basic YWRhOmFkYQ==", "token required"),
        ("Bearer", "token required"),
        ("Bearer a.b.c", "invalid token"),
        // alg none.
        ("Bearer eyJhbGciOiJub25lIn0.eyJzdWIiOiJ1MSIsInJvbGUiOiJhZG1pbiJ9.", "invalid token"),
    ] {
        let refused = api.get("/api/users/u1").header("Authorization", wrong).await;
        problem(&refused, 401, error);
        let challenge = refused.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer realm=\"warren\""), "{wrong}: {refused}");
    }
    for public in
        ["/health/live", "/health/ready", "/.well-known/jwks.json", "/api/openapi.json", "/api/docs/"]
    {
        api.get(public).await.expect(200);
    }
    // For all that is left of a token, these answer what they answer without.
    api.post("/api/users").json(&json!({ "name": "Alan", "email": "alan@example.com" })).await.expect(201);
    assert_eq!(system.orders.http.get("/orders").await.expect(200).json()["items"], json!([]));
    system.finish().await;
}

async fn a_token_is_verified_by_the_published_keys_and_what_a_client_says_of_itself_counts_for_nothing() {
    let system = guarded().await;
    let api = &system.api;
    let (id, grace) = Session::register(api, "grace@example.com", "correct horse").await;

    let document = api.get("/.well-known/jwks.json").await.expect(200);
    let keys = KeySet::parse(&document.body).expect("a key set");
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
    let claims = keys.verify(grace.token.as_bytes(), &Issuer::default(), now).expect("a good token");
    assert_eq!((claims.sub.as_str(), claims.role.as_str()), (id.as_str(), "user"));

    for (subject, role) in [
        ("x-warren-subject", "x-warren-role"),
        ("X-Warren-Subject", "X-WARREN-ROLE"),
        ("x_warren_subject", "x_warren_role"),
    ] {
        let pretends = |call: warren::http::Call| call.header(subject, "u1").header(role, "admin");
        problem(&pretends(api.get("/api/users/u1")).await, 401, "token required");
        problem(&grace.asks(pretends(api.get("/api/users/u1"))).await, 403, "forbidden");
        grace.asks(pretends(api.get(&format!("/api/users/{id}")))).await.expect(200);
        // A field that the client nominates as the connection's own does not take the gateway's with it.
        let nominated = pretends(api.get("/api/users/u1")).header("Connection", subject);
        problem(&grace.asks(nominated).await, 403, "forbidden");
    }
    let flipped = Session { token: flip_last(&grace.token) };
    problem(&flipped.asks(api.get(&format!("/api/users/{id}"))).await, 401, "invalid token");
    system.finish().await;
}

/// The same token with a signature that differs in one bit of those that count.
fn flip_last(token: &str) -> String {
    let (head, signature) = token.rsplit_once('.').expect("a signature");
    let first = if signature.starts_with('A') { "B" } else { "A" };
    format!("{head}.{first}{}", &signature[1..])
}

async fn tokens_stay_good_when_the_service_that_signed_them_is_killed() {
    let system = guarded().await;
    let api = &system.api;
    let ada = begin(api, ADA).await;

    system.users.kill9();
    ada.asks(api.get("/api/orders")).await.expect(200);
    problem(&api.get("/api/orders").await, 401, "token required");
    system.users.restart().await;

    eventually(Duration::from_secs(20), "users is asked again", async || {
        let answer = ada.asks(api.get("/api/users/u1")).await;
        assert_ne!(answer.status, 401, "the keys are in its store: {answer}");
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    begin(api, ADA).await;
    system.finish().await;
}

async fn a_gateway_that_has_no_keys_yet_says_so_and_gets_them_by_itself() {
    let system = guarded().await;
    let api = &system.api;
    let ada = begin(api, ADA).await;
    system.users.kill9();
    system.gateway.restart().await;

    let refused = ada.asks(api.get("/api/orders")).await;
    let told = problem(&refused, 503, "keys unavailable");
    assert!(refused.header("retry-after").is_some() && told["detail"].is_string(), "{refused}");
    problem(&api.get("/api/orders").await, 401, "token required");

    system.users.restart().await;
    eventually(Duration::from_secs(20), "the gateway has keys again", async || {
        let answer = ada.asks(api.get("/api/orders")).await;
        assert_ne!(answer.status, 401, "nobody is refused for lack of keys: {answer}");
        if answer.status == 200 { Ok(()) } else { Err(answer) }
    })
    .await;
    system.finish().await;
}

async fn nobody_learns_from_a_refused_log_in_whether_there_is_such_an_account() {
    const TRIES: usize = 20;
    let system = guarded().await;
    let log_in = async |email: &str| -> (Duration, Answer) {
        let begun = Instant::now();
        let credentials = json!({ "email": email, "password": "wrong horse" });
        let answer = system.api.post("/api/users/sessions").json(&credentials).await;
        (begun.elapsed(), answer)
    };
    let told = |answer: &Answer| {
        let mut told = problem(answer, 401, "wrong email or password");
        told.as_object_mut().expect("an object").remove("requestId");
        (told, answer.header("www-authenticate").map(str::to_owned))
    };

    // By turns, so that whatever else the machine does slows down both.
    let (mut known, mut unknown) = (Vec::new(), Vec::new());
    for _ in 0..TRIES {
        let (took, of_known) = log_in(ADA.0).await;
        known.push(took);
        let (took, of_unknown) = log_in("nobody@example.com").await;
        unknown.push(took);
        assert_eq!(told(&of_known), told(&of_unknown));
    }

    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times[TRIES / 2]
    };
    let (known, unknown) = (median(&mut known), median(&mut unknown));
    let factor = known.max(unknown).as_secs_f64() / known.min(unknown).as_secs_f64();
    assert!(factor < 2.0, "{known:?} where there is an account, {unknown:?} where there is none");
    system.finish().await;
}

warren::stories! {
    on both brokers:
        who_registers_and_logs_in_orders_for_itself_and_for_nobody_else,
        an_admin_may_see_and_change_everything,
        without_a_token_there_is_only_what_is_public,
        a_token_is_verified_by_the_published_keys_and_what_a_client_says_of_itself_counts_for_nothing,
        tokens_stay_good_when_the_service_that_signed_them_is_killed,
        a_gateway_that_has_no_keys_yet_says_so_and_gets_them_by_itself,
        nobody_learns_from_a_refused_log_in_whether_there_is_such_an_account;
}
