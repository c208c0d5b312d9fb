//! Keys come and go while people come and go, and nobody notices.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::time::sleep;
use warren::service::Service;

use crate::support::{Session, system};

/// How many keys are to sign, one after the other.
const KEYS: usize = 3;

async fn a_token_is_good_whichever_key_signed_it() {
    let system = system()
        .env(Service::Gateway, "AUTH", "required")
        // Published for two seconds before it signs for four.
        .env(Service::Users, "AUTH_KEY_LIFETIME_S", "4")
        // Longer than the test; no more keys than verifiers read.
        .env(Service::Users, "AUTH_TOKEN_LIFETIME_S", "120")
        .start()
        .await;
    let mut sessions: Vec<(String, Session)> = Vec::new();
    let mut kids = BTreeSet::new();

    let begun = Instant::now();
    while kids.len() < KEYS {
        assert!(begun.elapsed() < Duration::from_secs(60), "only {kids:?} have signed");
        let session = Session::begin(&system.api, "ada@example.com", "correct horse battery").await;
        let kid = session.token.split('.').next().expect("a header").to_owned();
        // The first one of a key at once: that is when the gateway has to know it.
        if kids.insert(kid.clone()) {
            sessions.push((kid, session));
        }
        for (kid, session) in &sessions {
            let answer = session.asks(system.api.get("/api/users/u1")).await;
            assert_eq!(answer.status, 200, "a token of {kid} after {:?}: {answer}", begun.elapsed());
        }
        sleep(Duration::from_millis(20)).await;
    }
    system.finish().await;
}

warren::stories! {
    // About tokens between gateway and users, which knows no broker.
    on the embedded broker:
        a_token_is_good_whichever_key_signed_it;
}
