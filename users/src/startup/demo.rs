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
    supervision::Handle,
    telemetry::trace::Origin,
};

use super::hashed;
use crate::{
    domain::{Email, Name, Password, UserId},
    passwords::Passwords,
    repository::{FindUser, GivePassword, LacksPassword, RegisterUser},
};

/// How often it is tried again while the repository starts.
const RETRY: Duration = Duration::from_millis(20);

/// Ada's password, which everybody knows: one more reason not to set `DEMO_DATA` where data counts.
const PASSWORD: &str = "correct horse battery";

/// Registers the demo user where it is missing; the service is not ready before.
pub(super) fn seed(foundation: &mut Foundation, passwords: Handle<Passwords>) {
    let seeded = Arc::new(AtomicBool::new(false));
    let repository = foundation.repository.clone();
    let done = seeded.clone();
    actix::spawn(async move {
        while !try_seed(&repository, &passwords).await {
            tokio::time::sleep(RETRY).await;
        }
        done.store(true, Ordering::Relaxed);
    });
    foundation.condition("demo data", move || match seeded.load(Ordering::Relaxed) {
        true => Condition::Ready,
        false => Condition::Unready("not there yet".to_owned()),
    });
}

async fn try_seed(repository: &RepositoryHandle, passwords: &Handle<Passwords>) -> bool {
    let id = UserId::given("u1");
    let exists = match repository.read(FindUser { id: id.clone() }).await {
        Ok(known) => known.is_some(),
        Err(_) => return false,
    };
    // Of a demo from the time when she had none.
    let lacks_password = match repository.read(LacksPassword { id: id.clone() }).await {
        Ok(lacks) => lacks,
        Err(_) => return false,
    };
    if exists && !lacks_password {
        return true;
    }
    let ada = Password::parse(PASSWORD).expect("long enough");
    let Some(password) = hashed(passwords, ada).await else { return false };
    if exists {
        return written(repository.write(GivePassword { id, password }).await);
    }
    let ada = RegisterUser {
        id,
        name: Name::parse("Ada").expect("a sound name"),
        email: Email::parse("ada@example.com").expect("a sound address"),
        password: Some(password),
        origin: Origin::fresh(),
    };
    // Taken by somebody who registered with Ada's address: then the demo has no u1.
    written(repository.write(ada).await)
}

fn written<T>(outcome: Result<T, RepositoryError>) -> bool {
    if let Err(error) = &outcome {
        log::warn!("event=demo_data_not_written error={:?}", error.to_string());
    }
    outcome.is_ok()
}
