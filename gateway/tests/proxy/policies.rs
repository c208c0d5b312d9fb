//! Who may ask, for what, how often and how much.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use common::auth::{Issuer, Jwks, Role, SigningKey};

use crate::harness::{Answer, Gateway, Head, Service, eventually, request};

fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("it is later than 1970").as_secs()
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32], 1_700_000_000)
}

fn token(subject: &str, role: &str) -> String {
    Issuer::default().token(&key(), subject, &Role::parse(role).expect("a role"), now())
}

fn bearer(token: &str) -> String {
    format!("Authorization: Bearer {token}")
}

/// A service that publishes the key, and a gateway before it that wants tokens.
fn guarded(variables: &[(&str, &str)]) -> (Service, Gateway) {
    let service = Service::ok();
    service.publish_keys(Jwks::of([&key()]).to_json());
    let mut all = vec![("AUTH", "required")];
    all.extend_from_slice(variables);
    let gateway = Gateway::configured(&service, "[limits]\nhead_bytes = \"256 KiB\"\n", &all);
    eventually("the keys are known", || {
        let answer = gateway.ask(&format!("GET /api/users HTTP/1.1\n{}", bearer("x.y.z")));
        answer.status != 503
    });
    (service, gateway)
}

#[test]
fn who_has_no_good_token_gets_no_further() {
    let (service, gateway) = guarded(&[]);
    let issuer = Issuer::default();
    let user = Role::parse("user").expect("a role");
    let claims = serde_json::to_vec(&issuer.claims("u1", &user, now())).expect("claims are JSON");
    let expired = issuer.token(&key(), "u1", &user, now() - 100_000);
    let early = issuer.token(&key(), "u1", &user, now() + 100_000);
    let other = issuer.token(&SigningKey::from_seed(&[8; 32], 1_700_000_000), "u1", &user, now());
    let foreign = Issuer { name: "elsewhere".to_owned(), ..Issuer::default() };
    let foreign = foreign.token(&key(), "u1", &user, now());
    let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let none = format!("{}.{}.", part(br#"{"alg":"none","typ":"JWT"}"#), part(&claims));
    let confused =
        key().sign_parts(format!(r#"{{"alg":"HS256","kid":"{}"}}"#, key().kid()).as_bytes(), &claims);
    let good = token("u1", "user");
    let half = &good[..good.len() / 2];
    let long = format!("{}.{}.{}", part(b"{}"), "x".repeat(100 * 1024), "y".repeat(86));
    for (line, error) in [
        ("X: y".to_owned(), "token required"),
        ("Authorization: Basic dXNlcjpwYXNz".to_owned(), "token required"),
        ("Authorization: Bearer".to_owned(), "token required"),
        ("Authorization:".to_owned(), "token required"),
        (format!("Authorization: {good}"), "token required"),
        (format!("Authorization_: Bearer {good}"), "token required"),
        (format!("X-Authorization: Bearer {good}"), "token required"),
        (bearer("a.b.c"), "invalid token"),
        (bearer("\u{fc}"), "invalid token"),
        (bearer(half), "invalid token"),
        (bearer(&format!("{good}x")), "invalid token"),
        (bearer(&format!("{good} {good}")), "invalid token"),
        (bearer(&expired), "invalid token"),
        (bearer(&early), "invalid token"),
        (bearer(&other), "invalid token"),
        (bearer(&foreign), "invalid token"),
        (bearer(&none), "invalid token"),
        (bearer(&confused), "invalid token"),
        (bearer(&long), "invalid token"),
    ] {
        let answer = gateway.ask(&format!("GET /api/users HTTP/1.1\n{line}"));

        answer.assert_problem(401, error);
        let challenge = answer.head.get("www-authenticate").expect("how to do better");
        assert!(challenge.starts_with("Bearer realm=\"warren\""), "{challenge}");
        assert!(!answer.body.contains(half), "nothing of a token is said");
    }
    let twice = format!("GET /api/users HTTP/1.1\n{}\n{}", bearer(&good), bearer(&good));
    gateway.ask(&twice).assert_problem(400, "bad request");
    assert!(service.seen().is_empty());

    assert_eq!(gateway.ask(&format!("GET /api/users HTTP/1.1\n{}", bearer(&good))).status, 200);
    assert_eq!(service.seen().len(), 1);
}

#[test]
fn a_token_beyond_the_longest_head_is_not_even_read() {
    let gateway = Gateway::before(&Service::ok(), &[("AUTH", "required")]);

    let answer = gateway.ask(&format!("GET /api/users HTTP/1.1\n{}", bearer(&"x".repeat(100 * 1024))));

    answer.assert_problem(431, "head too large");
}

/// What the service learned about who asks.
fn identity(head: &Head) -> Vec<(String, String)> {
    let about = |name: &str| name.to_ascii_lowercase().replace('_', "-").starts_with("x-warren");
    head.fields.iter().filter(|(name, _)| about(name)).cloned().collect()
}

/// Every way to say who asks that some service might believe.
const LIES: &str = "X-Warren-Subject: admin
    x-warren-subject: admin
    X-WARREN-ROLE: admin
    X_Warren_Subject: admin
    X-Warren_Role: admin
    x_warren-role: admin
    X-Warren-: admin
    X-Warren-Anything: admin";

#[test]
fn only_what_the_gateway_verified_arrives_as_identity() {
    let (service, gateway) = guarded(&[]);
    for (subject, role) in [("u1", "user"), ("boss", "admin")] {
        for connection in ["close", "x-warren-subject, x-warren-role, close", "traceparent, via, close"] {
            let ask = format!(
                "GET /api/orders HTTP/1.1\n{LIES}\nConnection: {connection}\n{}",
                bearer(&token(subject, role))
            );
            assert_eq!(gateway.ask(&ask).status, 200);

            let head = service.seen().pop().expect("the request arrives");
            let said = [("x-warren-subject", subject), ("x-warren-role", role)];
            assert_eq!(identity(&head), said.map(|(name, value)| (name.to_owned(), value.to_owned())));
        }
    }
    let open = Gateway::before(&service, &[]);
    assert_eq!(open.ask(&format!("GET /api/orders HTTP/1.1\n{LIES}")).status, 200);
    assert_eq!(identity(&service.seen().pop().expect("the request arrives")), []);
}

#[test]
fn what_is_public_needs_no_token_and_nothing_else_is() {
    let (service, gateway) = guarded(&[]);
    for ask in [
        "POST /api/users HTTP/1.1\nContent-Length: 0",
        "POST /api/users?x=y HTTP/1.1\nContent-Length: 0",
        "POST /api/users/sessions HTTP/1.1\nContent-Length: 0",
        "GET /.well-known/jwks.json HTTP/1.1",
        "GET /health/live HTTP/1.1",
        "GET /api/openapi.json HTTP/1.1",
    ] {
        assert_ne!(gateway.ask(ask).status, 401, "{ask}");
    }
    let before = service.seen().len();
    for ask in [
        "GET /api/users HTTP/1.1",
        "post /api/users HTTP/1.1",
        "PUT /api/users HTTP/1.1",
        "POST /api/users/ HTTP/1.1",
        "POST /api/users/u1 HTTP/1.1",
        "POST /api/users/sessions/x HTTP/1.1",
        "GET /api/users/sessions HTTP/1.1",
        "POST /api/orders HTTP/1.1",
        "POST /api/user%73 HTTP/1.1",
        "OPTIONS /api/users HTTP/1.1",
    ] {
        let status = gateway.ask(ask).status;
        assert!(matches!(status, 401 | 404 | 405), "{ask}: {status}");
    }
    assert_eq!(service.seen().len(), before);
    // Whose token has run out can log in again, although the client sends it with everything.
    let stale = format!("POST /api/users/sessions HTTP/1.1\nContent-Length: 0\n{}", bearer("a.b.c"));
    assert_eq!(gateway.ask(&stale).status, 200);
    let stale = format!("GET /api/users HTTP/1.1\n{}", bearer("a.b.c"));
    gateway.ask(&stale).assert_problem(401, "invalid token");
}

#[test]
fn without_keys_nobody_can_tell_whose_token_is_good() {
    let service = Service::ok();
    let required = Gateway::before(&service, &[("AUTH", "required")]);
    let open = Gateway::before(&service, &[]);
    let with_token =
        |call: &str| format!("{call} HTTP/1.1\nContent-Length: 0\n{}", bearer(&token("u1", "user")));

    let answer = required.ask(&with_token("GET /api/users"));

    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(answer.head.get("content-type"), Some("application/problem+json"));
    assert!(answer.head.get("retry-after").is_some_and(|after| after.parse::<u64>().is_ok()));
    assert_eq!(answer.head.get("www-authenticate"), None);
    required.ask("GET /api/users HTTP/1.1").assert_problem(401, "token required");
    assert!(service.seen().is_empty());
    assert_eq!(required.ask(&with_token("POST /api/users")).status, 200);
    assert_eq!(open.ask(&with_token("GET /api/users")).status, 200);
    assert!(service.seen().iter().all(|head| identity(head).is_empty()));

    service.publish_keys(Jwks::of([&key()]).to_json());
    eventually("the keys are heard", || required.ask(&with_token("GET /api/users")).status == 200);
}

/// What is left, by `RateLimit`.
#[track_caller]
fn remaining(answer: &Answer) -> u32 {
    assert_eq!(answer.head.all("ratelimit-policy").len(), 1, "{answer:?}");
    let [limit] = answer.head.all("ratelimit")[..] else { panic!("one RateLimit: {answer:?}") };
    let left = limit.split(';').find_map(|part| part.trim().strip_prefix("r=")).expect("what is left");
    left.parse().expect("a whole number")
}

#[track_caller]
fn assert_limited(answer: &Answer) {
    answer.assert_problem(429, "too many requests");
    assert_eq!(remaining(answer), 0);
    let after: u64 = answer.head.get("retry-after").and_then(|it| it.parse().ok()).expect("whole seconds");
    assert!((1..=60).contains(&after), "{after}");
}

#[test]
fn every_client_may_ask_so_often_and_is_told_how_often_still() {
    let service = Service::start(|visit| {
        visit.body()?;
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRateLimit: \"theirs\";r=7;t=7\r\n\r\nok")
    });
    let gateway = Gateway::before(&service, &[("RATE_LIMIT", "3/60")]);

    let left: Vec<_> = (0..3)
        .map(|_| {
            let answer = gateway.ask("GET /api/users HTTP/1.1");
            assert_eq!(answer.status, 200);
            remaining(&answer)
        })
        .collect();

    assert_eq!(left, [2, 1, 0]);
    for lie in
        ["X: y", "X-Forwarded-For: 198.51.100.1", "Forwarded: for=198.51.100.2", "X-Real-IP: 198.51.100.3"]
    {
        assert_limited(&gateway.ask(&format!("GET /api/users HTTP/1.1\n{lie}")));
        assert_limited(&gateway.ask(&format!("POST /api/orders HTTP/1.1\nContent-Length: 0\n{lie}")));
    }
    assert_eq!(service.seen().len(), 3);
    assert_eq!(gateway.ask("GET /health/live HTTP/1.1").status, 200, "probes are not counted");
    // It is no reason to end the connection.
    let mut client = gateway.connect();
    for _ in 0..3 {
        assert_limited(&client.ask(&request("GET /api/users HTTP/1.1")));
    }
}

#[test]
fn who_shows_a_token_is_counted_by_it_and_who_shows_a_bad_one_by_address() {
    let (_service, gateway) = guarded(&[("RATE_LIMIT", "4/60")]);
    let ask = |token: &str| gateway.ask(&format!("GET /api/users HTTP/1.1\n{}", bearer(token)));
    for subject in ["u1", "u2"] {
        for left in [3, 2, 1, 0] {
            let answer = ask(&token(subject, "user"));
            assert_eq!((answer.status, remaining(&answer)), (200, left), "{subject}");
        }
        assert_limited(&ask(&token(subject, "user")));
    }
    // At most one of them was needed to learn that the keys are known.
    let mut refused = 0;
    loop {
        let answer = ask("a.b.c");
        if answer.status == 429 {
            break assert_limited(&answer);
        }
        answer.assert_problem(401, "invalid token");
        remaining(&answer);
        refused += 1;
        assert!(refused <= 4, "trying tokens has no end");
    }
    assert_limited(&gateway.ask("GET /api/users HTTP/1.1"));
    assert_limited(&gateway.ask("POST /api/users HTTP/1.1\nContent-Length: 0"));
}

#[test]
fn a_trusted_proxy_says_for_whom_it_counts() {
    let service = Service::ok();
    let gateway =
        Gateway::before(&service, &[("RATE_LIMIT", "1/60"), ("GATEWAY_TRUSTED", "127.0.0.1,10.0.0.0/8")]);
    let status =
        |chain: &str| gateway.ask(&format!("GET /api/users HTTP/1.1\nX-Forwarded-For: {chain}")).status;
    for (chain, expected) in [
        ("198.51.100.1", 200),
        ("198.51.100.1", 429),
        ("198.51.100.2", 200),
        // The last one that is no proxy of ours counts; what stands before it, anybody may have written.
        ("203.0.113.9, 198.51.100.1", 429),
        ("198.51.100.9, 198.51.100.1, 10.1.1.1", 429),
        ("198.51.100.3, 10.1.1.1, 10.1.1.2", 200),
        // One network of IPv6 is one client.
        ("2001:db8:1:2::1", 200),
        ("2001:db8:1:2::2", 429),
        ("2001:db8:1:3::2", 200),
        // What is no address says nothing: the proxy itself counts.
        ("unknown", 200),
        ("nonsense, ,", 429),
    ] {
        assert_eq!(status(chain), expected, "{chain}");
    }
    let two = "GET /api/users HTTP/1.1\nX-Forwarded-For: 198.51.100.7\nX-Forwarded-For: 198.51.100.1";
    assert_eq!(gateway.ask(two).status, 429, "the last line counts");
}

#[test]
fn a_body_beyond_the_limit_is_refused_at_once() {
    let service = Service::ok();
    let settings = "[[routes]]\npath = \"/api/orders\"\nupstream = \"orders\"\nbody_bytes = \"100 KiB\"\n";
    let gateway = Gateway::configured(&service, settings, &[("RATE_LIMIT", "100/1")]);
    for length in ["102401", "18446744073709551", "9223372036854775808"] {
        let mut client = gateway.connect();
        let answer = client.ask(&request(&format!("POST /api/orders HTTP/1.1\nContent-Length: {length}")));
        answer.assert_problem(413, "body too large");
        assert!(answer.json()["detail"].to_string().contains("102400"), "{answer:?}");
        assert!(answer.closes());
        remaining(&answer);
    }
    assert!(service.seen().is_empty());

    let mut client = gateway.connect();
    client.send(request("POST /api/orders HTTP/1.1\nTransfer-Encoding: chunked"));
    client.send(format!("19000\r\n{}\r\n", "x".repeat(0x19000)));
    client.send("1\r\nx\r\n");
    client.answer(false).expect("a whole answer").assert_problem(413, "body too large");

    let most = "x".repeat(102_400);
    let whole = request("POST /api/orders HTTP/1.1\nContent-Length: 102400") + &most;
    assert_eq!(gateway.connect().ask(&whole).status, 200);
    let chunked = request("POST /api/orders HTTP/1.1\nTransfer-Encoding: chunked");
    assert_eq!(gateway.connect().ask(&format!("{chunked}19000\r\n{most}\r\n0\r\n\r\n")).status, 200);
}

const SHOP: &str = "https://shop.example";

#[test]
fn a_listed_page_may_call_and_others_may_not() {
    let service = Service::start(|visit| {
        visit.body()?;
        visit.reply(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: *\r\n\
             Access-Control-Allow-Credentials: true\r\n\r\nok",
        )
    });
    let gateway = Gateway::before(&service, &[("CORS_ORIGINS", SHOP), ("RATE_LIMIT", "1000/1")]);

    let own = gateway.ask(&format!("GET /api/users HTTP/1.1\nOrigin: {SHOP}"));
    let other = gateway.ask("GET /api/users HTTP/1.1\nOrigin: https://evil.example");
    let none = gateway.ask("GET /api/users HTTP/1.1");
    let refused = gateway.ask(&format!("GET /nowhere HTTP/1.1\nOrigin: {SHOP}"));

    for (answer, origins) in [(&own, &[SHOP][..]), (&other, &[]), (&none, &[]), (&refused, &[SHOP])] {
        assert_eq!(answer.head.all("access-control-allow-origin"), origins, "{answer:?}");
        assert_eq!(answer.head.get("access-control-allow-credentials"), None);
        assert!(answer.head.all("vary").iter().any(|vary| vary.contains("Origin")), "{answer:?}");
    }
    assert!(own.head.get("access-control-expose-headers").is_some_and(|names| names.contains("RateLimit")));
    assert_eq!((own.status, other.status, refused.status), (200, 200, 404));
    gateway
        .ask(&format!("GET /api/users HTTP/1.1\nOrigin: {SHOP}\nOrigin: https://evil.example"))
        .assert_problem(400, "bad request");
}

#[test]
fn a_page_that_asks_beforehand_is_answered_by_the_gateway_without_a_token() {
    let (service, gateway) = guarded(&[("CORS_ORIGINS", SHOP), ("RATE_LIMIT", "1/60")]);
    let preflight = |path: &str, origin: &str, method: &str, fields: &str| {
        gateway.ask(&format!(
            "OPTIONS {path} HTTP/1.1\nOrigin: {origin}\nAccess-Control-Request-Method: {method}\n\
             Access-Control-Request-Headers: {fields}"
        ))
    };
    for path in ["/api/users/u1", "/api/orders", "/api/openapi.json"] {
        let answer = preflight(path, SHOP, "PUT", "authorization, idempotency-key");

        assert_eq!(answer.status, 204, "{answer:?}");
        assert_eq!(answer.head.all("access-control-allow-origin"), [SHOP]);
        let methods = answer.head.get("access-control-allow-methods").expect("they are listed");
        assert!(methods.contains("PUT"), "{methods}");
        assert!(answer.head.get("access-control-max-age").is_some());
        assert!(answer.head.get("x-request-id").is_some());
        assert_eq!((answer.head.get("content-length"), answer.body.as_str()), (None, ""));
    }
    for (origin, method, fields) in [
        ("https://evil.example", "PUT", "authorization"),
        ("null", "PUT", "authorization"),
        ("https://shop.example.evil.example", "PUT", "authorization"),
        (SHOP, "PURGE", "authorization"),
        (SHOP, "PUT", "authorization, x-warren-subject"),
    ] {
        let answer = preflight("/api/users/u1", origin, method, fields);

        answer.assert_problem(403, "origin not allowed");
        assert_eq!(answer.head.get("access-control-allow-origin"), None);
    }
    assert!(service.seen().is_empty());
    preflight("/nowhere", SHOP, "PUT", "authorization").assert_problem(404, "not found");
}

#[test]
fn without_cors_the_services_speak_for_themselves() {
    let service = Service::answering(
        "HTTP/1.1 204 No Content\r\nAccess-Control-Allow-Origin: https://a.example\r\nAllow: GET\r\n\r\n",
    );
    let gateway = Gateway::before(&service, &[]);

    let answer = gateway
        .ask("OPTIONS /api/users HTTP/1.1\nOrigin: https://a.example\nAccess-Control-Request-Method: GET");

    assert_eq!((answer.status, answer.head.get("allow")), (204, Some("GET")));
    assert_eq!(answer.head.all("access-control-allow-origin"), ["https://a.example"]);
    assert_eq!(service.seen()[0].get("access-control-request-method"), Some("GET"));
}

#[test]
fn only_the_gateways_own_answers_get_its_security_fields() {
    let gateway = Gateway::before(&Service::ok(), &[]);
    let fields = ["x-content-type-options", "cache-control", "referrer-policy", "content-security-policy"];

    for ask in ["GET /nowhere HTTP/1.1", "TRACE /api/users HTTP/1.1", "GET /health/live HTTP/1.1"] {
        let own = gateway.ask(ask);
        for field in fields {
            assert_eq!(own.head.all(field).len(), 1, "{field} of {own:?}");
        }
    }
    let passed = gateway.ask("GET /api/users HTTP/1.1");
    for field in fields {
        assert_eq!(passed.head.get(field), None, "{field}");
    }
}

#[test]
fn a_service_that_is_busy_does_not_keep_the_other_one_waiting() {
    let held = Arc::new(Mutex::new(()));
    let gate = held.clone();
    let service = Service::start(move |visit| {
        visit.body()?;
        if visit.head.target() == "/users/slow" {
            drop(gate.lock());
        }
        visit.reply("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    });
    let settings = "[upstreams.users]\nin_flight = 2\n";
    let gateway = Gateway::configured(&service, settings, &[]);
    let holding = held.lock().expect("nobody panics with it");
    let mut waiting = [gateway.connect(), gateway.connect()];
    for client in &mut waiting {
        client.send(request("GET /api/users/slow HTTP/1.1"));
    }
    eventually("both are on their way", || service.seen().len() == 2);

    for _ in 0..5 {
        let asked = Instant::now();
        let answer = gateway.ask("GET /api/users HTTP/1.1");
        answer.assert_problem(503, "too busy");
        assert_eq!(answer.head.get("retry-after"), Some("1"));
        assert_eq!(gateway.ask("GET /api/orders HTTP/1.1").status, 200);
        assert!(asked.elapsed() < Duration::from_millis(500));
    }
    drop(holding);

    for client in &mut waiting {
        assert_eq!(client.answer(false).expect("a whole answer").status, 200);
    }
    eventually("there is a place again", || gateway.ask("GET /api/users HTTP/1.1").status == 200);
}
