//! The admin that the environment asks for, since nobody becomes one by registering.

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
    store::RepositoryHandle,
    supervision::Handle,
    telemetry::{
        spans::{Span, SpanKind},
        trace::Origin,
    },
};

use super::HASH_DEADLINE;
use crate::{
    config::AdminConfig,
    domain::{Name, Role, UserId},
    passwords::{HashPassword, Passwords, VerifyPassword},
    repository::{FindLogin, Login, MakeAdmin},
};

/// How often it is tried again while the repository starts.
const RETRY: Duration = Duration::from_millis(100);

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
        done.store(true, Ordering::Relaxed);
    });
    foundation.condition("admin", move || match seeded.load(Ordering::Relaxed) {
        true => Condition::Ready,
        false => Condition::Unready("not there yet".to_owned()),
    });
}

async fn try_seed(repository: &RepositoryHandle, passwords: &Handle<Passwords>, admin: &AdminConfig) -> bool {
    let AdminConfig { email, password } = admin;
    // Looks first: a start that has nothing to change must do without room on the disk.
    let known = match repository.read(FindLogin { email: email.clone() }).await {
        Ok(known) => known,
        Err(_) => return false,
    };
    if let Some(Login { role: Role::Admin, password: Some(hash), .. }) = known {
        let verify = VerifyPassword { typed: password.expose().to_owned(), hash: Some(hash) };
        match passwords.ask(verify, HASH_DEADLINE).await {
            Ok(Ok(true)) => return true,
            Ok(Ok(false)) => {}
            Ok(Err(_)) | Err(_) => return false,
        }
    }
    let Ok(Ok(password)) = passwords.ask(HashPassword(password.clone()), HASH_DEADLINE).await else {
        return false;
    };
    let name = Name::parse("Admin").expect("a sound name");
    let origin = Origin::fresh();
    let _span = Span::begin(origin.traceparent, None, SpanKind::Internal, || "admin");
    let (id, email) = (UserId::fresh(), email.clone());
    let admin = MakeAdmin { id, name, email, password, origin: origin.clone() };
    match origin.scope(repository.write(admin)).await {
        Ok(()) => {
            log::info!("event=admin_made");
            true
        }
        Err(error) => {
            log::warn!("event=admin_not_made error={:?}", error.to_string());
            false
        }
    }
}
