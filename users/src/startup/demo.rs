//! The demo user `u1`, so that the README's commands work on a fresh system.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{
    http::Condition,
    service::Foundation,
    store::{RepositoryError, RepositoryHandle},
    telemetry::{
        spans::{Span, SpanKind},
        trace::Origin,
    },
};

use crate::{
    domain::{Email, Name, PasswordHash, UserId},
    repository::{FindLogin, GivePassword, RegisterUser},
};

/// How often it is tried again while the repository starts.
const RETRY: Duration = Duration::from_millis(20);

/// The hash of Ada's password, which is `correct horse battery` and known to everybody: one more reason not to set
/// `DEMO_DATA` where data counts. Hashed beforehand, so that a start need not.
const PASSWORD: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$eA3kszVVWl8HNmYpRmydjA$piYrCB/iR+l39VsBOGRg9aIHOC9uj7i0uf3+IWAJjEk";

/// Registers the demo user where it is missing; the service is not ready before.
pub(super) fn seed(foundation: &mut Foundation) {
    let seeded = Arc::new(AtomicBool::new(false));
    let repository = foundation.repository.clone();
    let done = seeded.clone();
    actix::spawn(async move {
        while !try_seed(&repository).await {
            tokio::time::sleep(RETRY).await;
        }
        done.store(true, Ordering::Relaxed);
    });
    foundation.condition("demo data", move || match seeded.load(Ordering::Relaxed) {
        true => Condition::Ready,
        false => Condition::Unready("not there yet".to_owned()),
    });
}

async fn try_seed(repository: &RepositoryHandle) -> bool {
    let (id, password) = (UserId::given("u1"), PasswordHash(PASSWORD.to_owned()));
    let email = Email::parse("ada@example.com").expect("a sound address");
    let known = match repository.read(FindLogin { email: email.clone() }).await {
        Ok(known) => known,
        Err(_) => return false,
    };
    match known {
        // She is from the time when she had no password.
        Some(ada) if ada.id == id && ada.password.is_none() => {
            written(repository.write(GivePassword { id, password }).await)
        }
        // There already, or somebody registered with Ada's address: then the demo has no u1.
        Some(_) => true,
        None => {
            let name = Name::parse("Ada").expect("a sound name");
            let (password, origin) = (Some(password), Origin::fresh());
            let _span = Span::begin(origin.traceparent, None, SpanKind::Internal, || "demo data");
            let register = RegisterUser { id, name, email, password, origin: origin.clone() };
            written(origin.scope(repository.write(register)).await)
        }
    }
}

fn written<T>(outcome: Result<T, RepositoryError>) -> bool {
    if let Err(error) = &outcome {
        log::warn!("event=demo_data_not_written error={:?}", error.to_string());
    }
    outcome.is_ok()
}
