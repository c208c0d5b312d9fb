//! Forgeries, what the cache may and may not remember, and how keys come and stay.

use std::{
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    rc::Rc,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use common::{
    auth::{Issuer, Jwks, KeySet, Role, SigningKey, TokenError},
    supervision::{Spec, Supervisor},
    telemetry::metrics::Registry,
    timeline::Timeline,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::*;

const NOW: u64 = 1_800_000_000;
const LEEWAY: Duration = Duration::from_secs(10);

fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32], NOW)
}

fn set_of(keys: &[&SigningKey]) -> KeySet {
    KeySet::parse(Jwks::of(keys.iter().copied()).to_json().as_bytes()).expect("a sound document")
}

fn guard_of(keys: &[&SigningKey], cached: usize) -> (Guard, Keys) {
    let known = Keys::default();
    known.publish(set_of(keys));
    (Guard::new(known.clone(), Issuer::default(), LEEWAY, cached), known)
}

fn token() -> String {
    Issuer::default().token(&key(), "u1", &role("user"), NOW)
}

fn role(word: &str) -> Role {
    Role::parse(word).expect("a role")
}

fn claims() -> Value {
    serde_json::to_value(Issuer::default().claims("u1", &role("user"), NOW)).expect("claims are JSON")
}

fn header() -> Value {
    json!({ "alg": "EdDSA", "typ": "JWT", "kid": key().kid() })
}

fn signed(header: &Value, claims: &Value) -> String {
    key().sign_parts(header.to_string().as_bytes(), claims.to_string().as_bytes())
}

fn part(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// HMAC (RFC 2104) with a secret of at most 64 bytes.
fn hmac(secret: &[u8], message: &[u8]) -> Vec<u8> {
    let pad = |with: u8| (0..64).map(|i| secret.get(i).unwrap_or(&0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::digest([&pad(0x36), message].concat());
    Sha256::digest([&pad(0x5c)[..], &inner].concat()).to_vec()
}

#[track_caller]
fn check(guard: &Guard, token: &str, now: u64) -> Result<Rc<Principal>, Denied> {
    let checked = guard.check(Some(format!("Bearer {token}").as_bytes()), now);
    checked.map(|principal| principal.expect("there is a token"))
}

#[track_caller]
fn refused(token: &str, error: TokenError) {
    let (guard, _) = guard_of(&[&key()], 10);
    // Twice: what is refused must not be remembered as good.
    for _ in 0..2 {
        assert_eq!(check(&guard, token, NOW), Err(Denied::Token(error)), "{:.200}", token);
    }
}

#[test]
fn a_good_token_tells_who_asks_however_often_it_comes() {
    let (guard, _) = guard_of(&[&key()], 10);

    for _ in 0..3 {
        let principal = check(&guard, &token(), NOW).expect("it is good");
        assert_eq!((principal.subject.as_str(), principal.role.as_str()), ("u1", "user"));
        assert_eq!(principal.header_lines(), b"x-warren-subject: u1\r\nx-warren-role: user\r\n");
    }
    assert_eq!(guard.check(None, NOW), Ok(None));
}

#[test]
fn only_one_bearer_token_is_taken() {
    let (guard, _) = guard_of(&[&key()], 10);
    let token = token();

    for good in [format!("Bearer {token}"), format!("bearer {token}"), format!("BEARER   {token} ")] {
        assert!(guard.check(Some(good.as_bytes()), NOW).is_ok(), "{good}");
    }
    for other in [
        String::new(),
        "Bearer".to_owned(),
        "Bearer ".to_owned(),
        "Basic dXNlcjpwYXNz".to_owned(),
        token.clone(),
        format!("Bearer\t{token}"),
        format!("Bearerx {token}"),
    ] {
        assert_eq!(guard.check(Some(other.as_bytes()), NOW), Err(Denied::Scheme), "{other}");
    }
    for two in [format!("Bearer {token}, Bearer {token}"), format!("Bearer {token} {token}")] {
        assert_eq!(
            guard.check(Some(two.as_bytes()), NOW),
            Err(Denied::Token(TokenError::Malformed)),
            "{two}"
        );
    }
}

#[test]
fn an_algorithm_of_the_senders_choice_is_refused() {
    let public = BASE64_URL_SAFE_NO_PAD
        .decode(serde_json::to_value(key().public()).expect("JSON")["x"].as_str().expect("a text"))
        .expect("base64url");
    for alg in ["none", "None", "NONE", "", "HS256", "HS512", "RS256", "ES256", "Ed25519", "EdDSA ", "eddsa"]
    {
        let mut header = header();
        header["alg"] = json!(alg);
        let message = format!("{}.{}", part(header.to_string()), part(claims().to_string()));

        refused(&format!("{message}."), TokenError::Algorithm);
        refused(&format!("{message}.{}", part(hmac(&public, message.as_bytes()))), TokenError::Algorithm);
        // Even where the signature is the right one for the right key.
        refused(&signed(&header, &claims()), TokenError::Algorithm);
    }
    // The header says EdDSA, and what looks like a signature is the public key's HMAC.
    let message = format!("{}.{}", part(header().to_string()), part(claims().to_string()));
    let mac = hmac(&public, message.as_bytes());
    refused(&format!("{message}.{}", part(&mac)), TokenError::Signature);
    refused(&format!("{message}.{}", part([&mac[..], &mac[..]].concat())), TokenError::Signature);
    refused(&format!("{message}."), TokenError::Signature);
    refused(&format!("{message}.{}", part([0; 64])), TokenError::Signature);
    for no_algorithm in [json!({ "kid": key().kid() }), json!({ "alg": null, "kid": key().kid() })] {
        refused(&signed(&no_algorithm, &claims()), TokenError::Malformed);
    }
}

#[test]
fn a_key_of_the_senders_choice_is_refused() {
    let other = SigningKey::from_seed(&[8; 32], NOW);
    let sign =
        |header: Value| other.sign_parts(header.to_string().as_bytes(), claims().to_string().as_bytes());

    refused(&sign(header()), TokenError::Signature);
    let mut embedded = header();
    embedded["jwk"] = serde_json::to_value(other.public()).expect("JSON");
    embedded["jku"] = json!("http://127.0.0.1:1/keys");
    refused(&sign(embedded), TokenError::Signature);
    let long = "k".repeat(2000);
    for kid in ["unknown", "", "../../etc/passwd", "%00", "' OR 1=1 --", long.as_str()] {
        let mut header = header();
        header["kid"] = json!(kid);
        refused(&sign(header.clone()), TokenError::UnknownKey);
        refused(&signed(&header, &claims()), TokenError::UnknownKey);
    }
    for kid in [json!(null), json!(5), json!([key().kid()])] {
        let mut header = header();
        header["kid"] = kid;
        refused(&signed(&header, &claims()), TokenError::Malformed);
    }
    refused(&signed(&json!({ "alg": "EdDSA" }), &claims()), TokenError::Malformed);
    let mut huge = header();
    huge["kid"] = json!("k".repeat(10_240));
    refused(&signed(&huge, &claims()), TokenError::TooLong);
}

#[test]
fn a_header_that_is_not_understood_is_refused() {
    for (member, value) in [
        ("crit", json!(["exp"])),
        ("crit", json!([])),
        ("crit", json!(null)),
        ("typ", json!("JWE")),
        ("typ", json!("at+jwt")),
        ("typ", json!(5)),
    ] {
        let mut header = header();
        header[member] = value;
        refused(&signed(&header, &claims()), TokenError::Malformed);
    }
    let kid = key().kid().to_owned();
    for twice in [
        format!(r#"{{"alg":"none","alg":"EdDSA","kid":"{kid}"}}"#),
        format!(r#"{{"alg":"EdDSA","kid":"{kid}","kid":"{kid}"}}"#),
        format!("\u{feff}{}", header()),
        format!("{}x", header()),
        "[]".to_owned(),
        String::new(),
    ] {
        refused(&key().sign_parts(twice.as_bytes(), claims().to_string().as_bytes()), TokenError::Malformed);
    }
}

#[test]
fn every_claim_must_be_there_and_be_what_it_should() {
    for claim in ["iss", "aud", "sub", "role", "iat", "nbf", "exp", "jti"] {
        let mut without = claims();
        without.as_object_mut().expect("an object").remove(claim);
        refused(&signed(&header(), &without), TokenError::Claims);
        for wrong in [json!(null), json!({}), json!(true), json!(-1), json!(1.5), json!([5])] {
            let mut claims = claims();
            claims[claim] = wrong;
            refused(&signed(&header(), &claims), TokenError::Claims);
        }
    }
    for time in ["iat", "nbf", "exp"] {
        let mut claims = claims();
        claims[time] = json!((NOW + 100).to_string());
        refused(&signed(&header(), &claims), TokenError::Claims);
    }
    for (claim, value, error) in [
        ("iss", json!("somebody"), TokenError::Issuer),
        ("iss", json!(""), TokenError::Issuer),
        ("aud", json!("somebody"), TokenError::Audience),
        ("aud", json!([]), TokenError::Audience),
        ("exp", json!(NOW - 10), TokenError::Expired),
        ("exp", json!(0), TokenError::Expired),
        ("nbf", json!(NOW + 11), TokenError::NotYet),
        ("nbf", json!(u64::MAX), TokenError::NotYet),
        ("role", json!("ADMIN"), TokenError::Claims),
    ] {
        let mut claims = claims();
        claims[claim] = value;
        refused(&signed(&header(), &claims), error);
    }
    let payload = claims().to_string();
    for (payload, error) in [
        (payload.replacen('{', r#"{"role":"admin","#, 1), TokenError::Claims),
        (payload.replacen('{', r#"{"exp":1,"#, 1), TokenError::Claims),
        (format!("{payload}{payload}"), TokenError::Malformed),
        ("null".to_owned(), TokenError::Claims),
        (String::new(), TokenError::Malformed),
    ] {
        refused(&key().sign_parts(header().to_string().as_bytes(), payload.as_bytes()), error);
    }
}

#[test]
fn what_is_no_token_is_refused_however_it_looks() {
    let token = token();
    let [header, payload, signature] = token.split('.').collect::<Vec<_>>()[..] else {
        panic!("three parts")
    };
    for junk in [
        ".".to_owned(),
        "..".to_owned(),
        "...".to_owned(),
        "ü.ü.ü".to_owned(),
        "\u{202e}\u{0}".to_owned(),
        format!("{token}."),
        format!(".{token}"),
        format!("{token}.{signature}"),
        format!("{header}.{payload}"),
        format!("{header}..{payload}.{signature}"),
        format!("{header}==.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}=="),
        format!("{header}.\n{payload}.{signature}"),
        format!("{header}.{payload}. {signature}"),
    ] {
        let (guard, _) = guard_of(&[&key()], 10);
        let authorization = format!("Bearer {junk}");
        let denied = guard.check(Some(authorization.as_bytes()), NOW).expect_err("no token");
        assert!(matches!(denied, Denied::Token(_)), "{junk:?}: {denied:?}");
    }
    refused(&"x".repeat(100 * 1024), TokenError::TooLong);
    refused(&format!("{token}{}", "x".repeat(100 * 1024)), TokenError::TooLong);
    // The last letter of a signature has bits that mean nothing: only one of the texts that decode alike is taken.
    let others = ('A'..='z').filter(|c| c.is_ascii_alphanumeric()).filter(|c| !token.ends_with(*c));
    for last in others {
        let (guard, _) = guard_of(&[&key()], 10);
        let changed = format!("{}{last}", &token[..token.len() - 1]);
        assert!(check(&guard, &changed, NOW).is_err(), "{last}");
    }
}

#[test]
fn a_token_that_was_seen_before_still_expires() {
    let (guard, _) = guard_of(&[&key()], 10);
    let token = token();

    assert!(check(&guard, &token, NOW).is_ok());
    assert!(check(&guard, &token, NOW + 3609).is_ok());
    for _ in 0..2 {
        assert_eq!(check(&guard, &token, NOW + 3610), Err(Denied::Token(TokenError::Expired)));
    }
}

#[test]
fn a_token_that_was_seen_before_goes_with_its_key() {
    let (old, new) = (key(), SigningKey::from_seed(&[9; 32], NOW));
    let (guard, keys) = guard_of(&[&old], 10);
    let token = token();
    assert!(check(&guard, &token, NOW).is_ok());

    keys.publish(set_of(&[&old, &new]));
    assert!(check(&guard, &token, NOW).is_ok());
    keys.publish(set_of(&[&new]));

    assert_eq!(check(&guard, &token, NOW), Err(Denied::Token(TokenError::UnknownKey)));
}

#[test]
fn without_keys_nobody_is_told_that_the_token_is_bad() {
    let guard = Guard::new(Keys::default(), Issuer::default(), LEEWAY, 10);

    let denied = check(&guard, &token(), NOW).expect_err("nobody can know");

    assert_eq!(denied, Denied::KeysUnavailable);
    assert_eq!((denied.problem().status().as_u16(), denied.challenge()), (503, ""));
}

#[test]
fn the_sender_of_a_token_learns_no_more_than_helps_its_owner() {
    let told = |error| {
        let denied = Denied::Token(error);
        assert_eq!(denied.problem().status().as_u16(), 401);
        assert!(denied.challenge().contains("error=\"invalid_token\""));
        (denied.challenge(), denied.problem().to_string())
    };
    let same = told(TokenError::Signature);
    for error in [
        TokenError::TooLong,
        TokenError::Malformed,
        TokenError::Algorithm,
        TokenError::UnknownKey,
        TokenError::Issuer,
        TokenError::Audience,
        TokenError::Claims,
    ] {
        assert_eq!(told(error), same, "{error:?}");
    }
    assert_ne!(told(TokenError::Expired), same);
    assert!(!Denied::Missing.challenge().contains("error="), "RFC 6750 section 3.1");
}

#[test]
fn a_guard_shows_no_token() {
    let (guard, _) = guard_of(&[&key()], 10);
    check(&guard, &token(), NOW).expect("it is good");

    let shown = format!("{guard:?}");

    assert!(shown.contains("len: 1") && !shown.contains("eyJ") && !shown.contains("101, 121, 74"), "{shown}");
}

#[test]
fn the_cache_is_bounded_and_remembers_what_is_used() {
    let mut cache = cache::Cache::new(10);
    let (guard, _) = guard_of(&[&key()], 10);
    let principal = check(&guard, &token(), NOW).expect("it is good");
    assert_eq!(cache.get(1, b"used"), None);
    cache.put(b"used", principal.clone());

    for number in 0..1000_u32 {
        cache.put(&number.to_be_bytes(), principal.clone());
        assert!(cache.len() <= 10, "{}", cache.len());
        assert!(cache.get(1, b"used").is_some(), "{number}");
    }

    assert_eq!(cache.get(1, &0_u32.to_be_bytes()), None);
    assert_eq!(cache.get(2, b"used"), None, "verified by other keys");
    let mut nothing = cache::Cache::new(0);
    assert_eq!(nothing.get(1, b"used"), None);
    nothing.put(b"used", principal);
    assert_eq!(nothing.get(1, b"used"), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn a_token_with_anything_changed_is_never_good(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3), 1..4),
        known in any::<bool>(),
    ) {
        let token = token().into_bytes();
        let mut changed = token.clone();
        for (at, byte, how) in changes {
            let at = at.index(changed.len());
            match how {
                0 => changed[at] = byte,
                1 => changed.insert(at, byte),
                _ => { changed.remove(at); }
            }
        }
        // What a header's field cannot hold never gets here, and what is around a value is not part of it.
        prop_assume!(changed.trim_ascii() != token);
        let (guard, _) = guard_of(&[&key()], 10);
        if known {
            prop_assert!(check(&guard, std::str::from_utf8(&token).expect("ASCII"), NOW).is_ok());
        }
        let authorization = [b"Bearer ", &changed[..]].concat();
        prop_assert!(guard.check(Some(&authorization), NOW).is_err());
    }

    #[test]
    fn no_authorization_makes_the_guard_panic(authorization in proptest::collection::vec(any::<u8>(), 0..100)) {
        let (guard, _) = guard_of(&[&key()], 10);
        prop_assert!(guard.check(Some(&authorization), NOW).is_err());
    }
}

/// A service that publishes what it is told to, and counts how often it was asked.
struct Publisher {
    base: String,
    asked: Arc<AtomicUsize>,
    answer: Arc<Mutex<String>>,
}

impl Publisher {
    fn start(document: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("it listens"));
        let (asked, answer) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(document.to_owned())));
        let (count, body) = (asked.clone(), answer.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = BufReader::new(stream.expect("a connection"));
                let mut line = String::new();
                while stream.read_line(&mut line).is_ok_and(|read| read > 2) {
                    line.clear();
                }
                count.fetch_add(1, Ordering::SeqCst);
                let body = body.lock().expect("nobody panics").clone();
                let head =
                    format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
                let _ = stream.get_mut().write_all((head + &body).as_bytes());
            }
        });
        Self { base, asked, answer }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn publish(&self, document: &str) {
        document.clone_into(&mut self.answer.lock().expect("nobody panics"));
    }
}

fn document(keys: &[&SigningKey]) -> String {
    Jwks::of(keys.iter().copied()).to_json()
}

/// Fetches keys until the test ends.
fn fetching(bases: Vec<String>) -> Keys {
    let keys = Keys::default();
    let (source, fetched) = (KeysSource::new(move || bases.clone(), "/.well-known/jwks.json"), keys.clone());
    let supervisor = Supervisor::new("test", Timeline::open("test", None), &mut Registry::default());
    supervisor
        .supervise_here(Spec::new("auth-keys"), move |_| Ok(KeysActor::new(source.clone(), fetched.clone())));
    // What it supervises lives as long as the supervisor.
    std::mem::forget(supervisor);
    keys
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let end = std::time::Instant::now() + Duration::from_secs(20);
    while !holds() {
        assert!(std::time::Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[actix::test]
async fn keys_are_fetched_from_whoever_has_them() {
    let (html, good) = (Publisher::start("<html>"), Publisher::start(&document(&[&key()])));

    let keys = fetching(vec!["http://127.0.0.1:1".to_owned(), html.base.clone(), good.base.clone()]);

    until("keys are known", || keys.are_known()).await;
    assert_eq!(keys.kids(), [key().kid()]);
    assert!(html.asked() >= 1);
}

#[actix::test]
async fn a_token_of_a_new_key_makes_the_keys_newer_and_a_flood_of_them_asks_seldom() {
    let (old, new) = (key(), SigningKey::from_seed(&[9; 32], NOW));
    let publisher = Publisher::start(&document(&[&old]));
    let keys = fetching(vec![publisher.base.clone()]);
    until("keys are known", || keys.are_known()).await;
    let guard = Guard::new(keys.clone(), Issuer::default(), LEEWAY, 10);
    let (asked, started) = (publisher.asked(), std::time::Instant::now());
    publisher.publish(&document(&[&old, &new]));
    let token = Issuer::default().token(&new, "u1", &role("user"), NOW);

    assert_eq!(check(&guard, &token, NOW), Err(Denied::Token(TokenError::UnknownKey)));
    // Every look is a request with an unknown key.
    until("the new key is known", || check(&guard, &token, NOW).is_ok()).await;

    let most = usize::try_from(started.elapsed().as_secs()).expect("few") + 2;
    assert!(publisher.asked() - asked <= most, "{} times", publisher.asked() - asked);
}

#[actix::test]
async fn keys_stay_while_nobody_publishes_them() {
    let publisher = Publisher::start(&document(&[&key()]));
    let keys = fetching(vec![publisher.base.clone()]);
    until("keys are known", || keys.are_known()).await;
    let asked = publisher.asked();

    publisher.publish("{\"keys\":[]}");
    keys.want_newer();
    until("it was asked again", || publisher.asked() > asked).await;
    keys.want_newer();
    until("and again", || publisher.asked() > asked + 1).await;

    assert_eq!(keys.kids(), [key().kid()]);
}
