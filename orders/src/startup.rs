//! Puts the service together.

use std::{error::Error, time::Duration};

use actix::Arbiter;
use actix_web::web;
use common::{
    http::KeyedWrites,
    service::{Foundation, Service},
    supervision::Spec,
};

use crate::{
    consumers::OnUserCreated,
    customers::{Customers, CustomersConfig},
    routes::{self, App},
};

/// How long the customers actor may take; its own deadline is shorter.
const CUSTOMERS_DEADLINE: Duration = Duration::from_secs(10);

/// Builds the service on its foundation; it listens when this returns.
///
/// # Errors
/// When the address cannot be listened on.
pub(crate) fn build(config: CustomersConfig, mut foundation: Foundation) -> Result<Service, Box<dyn Error>> {
    let store = foundation.config().store.clone();
    foundation.consume(OnUserCreated { retention: store.inbox_retention });

    let timeline = foundation.supervisor.timeline().clone();
    let customers = foundation.supervisor.supervise(&Arbiter::current(), Spec::new("customers"), move |_| {
        Ok(Customers::new(config.clone(), timeline.clone()))
    });
    let app = web::Data::new(App {
        repository: foundation.repository.clone(),
        writes: KeyedWrites::new(foundation.repository.clone(), store.idempotency_retention),
        customers,
        customers_deadline: CUSTOMERS_DEADLINE,
    });
    foundation.serve(move |routes| routes::configure(routes, &app))
}
