//! What RFC 8037 signs, what is signed here, and where the bounds are. Forgeries are tried at the gateway's guard.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: u64 = 1_800_000_000;

/// The key of RFC 8037 appendix A.1.
fn rfc_key() -> SigningKey {
    let seed =
        BASE64_URL_SAFE_NO_PAD.decode("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A").expect("base64url");
    SigningKey::from_seed(&seed.try_into().expect("32 bytes"), NOW)
}

fn set_of(keys: &[&SigningKey]) -> KeySet {
    KeySet::parse(Jwks::of(keys.iter().copied()).to_json().as_bytes()).expect("a sound document")
}

fn verify(claims: &Value) -> Result<Claims, TokenError> {
    let key = rfc_key();
    let header = json!({ "alg": "EdDSA", "kid": key.kid() }).to_string();
    let token = key.sign_parts(header.as_bytes(), claims.to_string().as_bytes());
    set_of(&[&key]).verify(token.as_bytes(), &Issuer::default(), NOW)
}

fn claims() -> Value {
    serde_json::to_value(Issuer::default().claims("u1", &Role::admin(), NOW)).expect("claims are JSON")
}

#[test]
fn keys_and_signatures_are_those_of_rfc_8037() {
    let key = rfc_key();

    let public = serde_json::to_value(key.public()).expect("a key is JSON");
    assert_eq!(
        public,
        json!({
            "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            "kid": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k", "use": "sig", "alg": "EdDSA",
        })
    );
    assert_eq!(
        key.sign_parts(br#"{"alg":"EdDSA"}"#, b"Example of Ed25519 signing"),
        "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.\
         hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
    );
}

#[test]
fn what_was_signed_is_what_is_verified() {
    let (key, issuer) = (SigningKey::generate(NOW).expect("randomness"), Issuer::default());

    let token = issuer.token(&key, "u1", &Role::parse("user").expect("a role"), NOW);
    let claims = set_of(&[&rfc_key(), &key]).verify(token.as_bytes(), &issuer, NOW).expect("it is good");

    assert_eq!((claims.sub.as_str(), claims.role.as_str()), ("u1", "user"));
    assert_eq!((claims.iat, claims.nbf, claims.exp), (NOW, NOW, NOW + 3600));
    assert_eq!(set_of(&[&rfc_key()]).verify(token.as_bytes(), &issuer, NOW), Err(TokenError::UnknownKey));
}

#[test]
fn two_keys_are_never_the_same_and_never_show_themselves() {
    let (one, two) =
        (SigningKey::generate(NOW).expect("randomness"), SigningKey::generate(NOW).expect("randomness"));

    assert_ne!(one.expose_seed(), two.expose_seed());
    assert_ne!(one.kid(), two.kid());
    let shown = format!("{:?}", rfc_key());
    assert!(shown.contains("kPrK_qmx") && !shown.contains("secret") && !shown.contains("nWGx"), "{shown}");
    assert!(!shown.contains("157, 97, 177"), "{shown}");
}

#[test]
fn a_token_is_good_from_its_first_to_its_last_second_give_or_take_the_leeway() {
    let (key, issuer) = (rfc_key(), Issuer::default());
    let token = issuer.token(&key, "u1", &Role::admin(), NOW);
    let at = |now| set_of(&[&key]).verify(token.as_bytes(), &issuer, now).map(drop);

    assert_eq!(at(NOW - 11), Err(TokenError::NotYet));
    assert_eq!(at(NOW - 10), Ok(()));
    assert_eq!(at(NOW + 3609), Ok(()));
    assert_eq!(at(NOW + 3610), Err(TokenError::Expired));
    assert_eq!(at(u64::MAX), Err(TokenError::Expired));
}

#[test]
fn an_audience_may_be_one_of_several() {
    let mut several = claims();
    several["aud"] = json!(["other", "warren"]);
    assert_eq!(verify(&several).map(|claims| claims.aud.len()), Ok(2));

    for aud in [json!("other"), json!([]), json!(["other"])] {
        several["aud"] = aud;
        assert_eq!(verify(&several), Err(TokenError::Audience));
    }
}

#[test]
fn an_audience_of_one_is_written_as_a_text() {
    assert_eq!(claims()["aud"], "warren");
}

#[test]
fn what_cannot_travel_in_a_header_is_nobody() {
    for subject in ["", "u 1", "u1\r\nx-warren-role: admin", "ü", &"x".repeat(129)] {
        let mut claims = claims();
        claims["sub"] = json!(subject);
        assert_eq!(verify(&claims), Err(TokenError::Claims), "{subject:?}");
    }
    for role in ["", "Admin", "admin\r\n", "admin,user", &"x".repeat(33)] {
        let mut claims = claims();
        claims["role"] = json!(role);
        assert_eq!(verify(&claims), Err(TokenError::Claims), "{role:?}");
    }
}

#[test]
fn keys_of_other_kinds_are_passed_over_and_weak_ones_refused() {
    let rsa = json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB", "kid": "rsa" });
    let mut named_before =
        serde_json::to_value(SigningKey::generate(NOW).expect("randomness").public()).expect("JSON");
    named_before["kid"] = json!(rfc_key().kid());
    let document = json!({ "keys": [rsa, 5, rfc_key().public(), named_before], "more": true }).to_string();

    let set = KeySet::parse(document.as_bytes()).expect("one key can be used");

    assert_eq!(set, set_of(&[&rfc_key()]));

    let weak = BASE64_URL_SAFE_NO_PAD.encode([&[1][..], &[0; 31]].concat());
    for (change, value) in [
        ("use", json!("enc")),
        ("alg", json!("HS256")),
        ("crv", json!("X25519")),
        ("kty", json!("oct")),
        ("x", json!("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUQ")),
        ("x", json!(weak)),
        ("kid", json!(5)),
    ] {
        let mut key = serde_json::to_value(rfc_key().public()).expect("JSON");
        key[change] = value;
        let document = json!({ "keys": [key] }).to_string();
        assert_eq!(KeySet::parse(document.as_bytes()), Err(InvalidKeys::NoKey), "{document}");
    }
    for document in ["", "{}", "[]", "{\"keys\":{}}", "<html>"] {
        assert_eq!(KeySet::parse(document.as_bytes()), Err(InvalidKeys::NoDocument), "{document}");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_the_verifier_panic_or_believe(token in proptest::collection::vec(any::<u8>(), 0..600)) {
        prop_assert!(set_of(&[&rfc_key()]).verify(&token, &Issuer::default(), NOW).is_err());
    }

    #[test]
    fn no_document_makes_the_reader_panic(document in "\\PC{0,200}") {
        let _ = KeySet::parse(document.as_bytes());
    }
}
