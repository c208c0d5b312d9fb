//! The admin that the environment asks for, since nobody becomes one by registering.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use common::{
    http::Condition, service::Foundation, store::RepositoryHandle, supervision::Handle,
    telemetry::trace::Origin,
};

use super::hashed;
use crate::{
    config::AdminConfig,
    domain::{Name, UserId},
    passwords::Passwords,
    repository::MakeAdmin,
};

/// How often it is tried again while the repository starts.
const RETRY: Duration = Duration::from_millis(20);

/// Makes sure that the admin exists and has the password that the environment gives; the service is not ready before.
/// Who is admin already and is not named any more stays one.
pub(super) fn seed(foundation: &mut Foundation, passwords: Handle<Passwords>, admin: AdminConfig) {
    let seeded = Arc::new(AtomicBool::new(false));
    let repository = foundation.repository.clone();
    let done = seeded.clone();
    actix::spawn(async move {
        while !try_seed(&repository, &passwords, &admin).await {
            tokio::time::sleep(RETRY).await;
        }
        log::info!("event=admin_is_there");
        done.store(true, Ordering::Relaxed);
    });
    foundation.condition("admin", move || match seeded.load(Ordering::Relaxed) {
        true => Condition::Ready,
        false => Condition::Unready("not there yet".to_owned()),
    });
}

async fn try_seed(repository: &RepositoryHandle, passwords: &Handle<Passwords>, admin: &AdminConfig) -> bool {
    let Some(password) = hashed(passwords, admin.password.clone()).await else { return false };
    let admin = MakeAdmin {
        id: UserId::fresh(),
        name: Name::parse("Admin").expect("a sound name"),
        email: admin.email.clone(),
        password,
        origin: Origin::fresh(),
    };
    match repository.write(admin).await {
        Ok(()) => true,
        Err(error) => {
            log::debug!("event=admin_not_written error={:?}", error.to_string());
            false
        }
    }
}
