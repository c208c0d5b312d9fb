//! Puts the service together.

mod demo;

use std::{error::Error, time::Duration};

use actix::Arbiter;
use actix_web::web;
use common::{
    http::KeyedWrites,
    service::{Foundation, Service},
    supervision::Spec,
};

use crate::{
    config::UsersConfig,
    consumers::{OnOrderCancelled, OnOrderCreated},
    passwords::Passwords,
    routes::{self, App},
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

    if config.demo_data {
        demo::seed(&mut foundation);
    }
    let app = web::Data::new(App {
        repository: foundation.repository.clone(),
        writes: KeyedWrites::new(foundation.repository.clone(), store.idempotency_retention),
        passwords,
        hash_deadline: HASH_DEADLINE,
    });
    foundation.serve(move |routes| routes::configure(routes, &app))
}
