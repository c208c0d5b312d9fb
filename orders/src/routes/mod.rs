//! How the world talks to this service: one endpoint a file. Handlers parse, ask an actor, and map the answer.

mod cancel;
mod find;
mod list;
mod owner;
mod place;
mod problem;
mod view;

mod description;

use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use common::{
    http::{KeyedWrites, readable},
    store::RepositoryHandle,
    supervision::Handle,
};

use crate::customers::Customers;

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct App {
    /// The orders.
    pub repository: RepositoryHandle,
    /// Carries out what changes them.
    pub writes: KeyedWrites,
    /// Who knows which customers exist.
    pub customers: Handle<Customers>,
    /// How long that may take.
    pub customers_deadline: Duration,
}

/// Adds the service's routes.
pub fn configure(routes: &mut ServiceConfig, app: &web::Data<App>) {
    routes.app_data(app.clone()).service(description::description().resource()).configure(endpoints);
}

/// The endpoints, each of which [`description`] describes.
fn endpoints(routes: &mut ServiceConfig) {
    routes
        .service(readable("/orders", list::list).post(place::place))
        .service(readable("/orders/{id}", find::find))
        .service(web::resource("/orders/{id}/cancel").post(cancel::cancel));
}
