//! The demo user `u1`, so that the README's commands work on a fresh system.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{http::Condition, service::Foundation, store::RepositoryHandle, telemetry::trace::Origin};

use crate::{
    domain::{Email, Name, UserId},
    repository::{FindUser, RegisterUser},
};

/// How often it is tried again while the repository starts.
const RETRY: Duration = Duration::from_millis(20);

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
    let id = UserId::given("u1");
    match repository.read(FindUser { id: id.clone() }).await {
        Ok(Some(_)) => return true,
        Ok(None) => {}
        Err(_) => return false,
    }
    let ada = RegisterUser {
        id,
        name: Name::parse("Ada").expect("a sound name"),
        email: Email::parse("ada@example.com").expect("a sound address"),
        password: None,
        origin: Origin::fresh(),
    };
    match repository.write(ada).await {
        // Taken by somebody who registered with Ada's address: then the demo has no u1.
        Ok(Ok(_) | Err(_)) => true,
        Err(error) => {
            log::warn!("event=demo_data_not_written error={:?}", error.to_string());
            false
        }
    }
}
