//! Puts the service together.

mod admin;
mod demo;

use std::{error::Error, time::Duration};

use actix::Arbiter;
use actix_web::web;
use common::{
    http::{Condition, KeyedWrites},
    service::{Foundation, Service},
    supervision::Spec,
};

use crate::{
    config::UsersConfig,
    consumers::{OnOrderCancelled, OnOrderCreated},
    passwords::Passwords,
    routes::{self, App},
    signing_keys::{Keyring, SigningKeys},
};

/// How long a password may wait for its hash.
const HASH_DEADLINE: Duration = Duration::from_secs(10);

/// Builds the service on its foundation; it listens when this returns.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) fn build(config: UsersConfig, mut foundation: Foundation) -> Result<Service, Box<dyn Error>> {
    let store = foundation.config().store.clone();
    let retention = store.inbox_retention;
    foundation.consume(OnOrderCreated { retention });
    foundation.consume(OnOrderCancelled { retention });

    // Waits for its threads without work of its own, so it needs no thread of its own either.
    let here = Arbiter::current();
    let passwords =
        foundation.supervisor.supervise(&here, Spec::new("passwords"), |life| Ok(Passwords::start(life)?));

    let keyring = Keyring::default();
    let (repository, ring) = (foundation.repository.clone(), keyring.clone());
    foundation.supervisor.supervise(&here, Spec::new("signing-keys"), move |_| {
        Ok(SigningKeys::new(repository.clone(), config.keys, ring.clone()))
    });
    let ring = keyring.clone();
    foundation.condition("signing keys", move || match ring.is_ready() {
        true => Condition::Ready,
        false => Condition::Unready("not read yet".to_owned()),
    });

    if config.demo_data {
        demo::seed(&mut foundation);
    }
    if let Some(admin) = config.admin {
        admin::seed(&mut foundation, passwords.clone(), admin);
    }
    let app = web::Data::new(App {
        repository: foundation.repository.clone(),
        writes: KeyedWrites::new(foundation.repository.clone(), store.idempotency_retention),
        passwords,
        keyring,
        keys_max_age: Duration::from_secs(config.keys.max_age_s()),
        issuer: config.issuer,
        hash_deadline: HASH_DEADLINE,
    });
    foundation.serve(move |routes| routes::configure(routes, &app))
}
