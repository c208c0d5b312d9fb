//! How the world talks to this service: one endpoint a file. Handlers parse, ask an actor, and map the answer.

mod find;
mod keys;
mod list;
mod log_in;
mod problem;
mod register;
mod view;

mod description;

use std::time::Duration;

use actix_web::web::{self, ServiceConfig};
use common::{
    auth::Issuer,
    http::{KeyedWrites, NoTraffic, readable},
    store::RepositoryHandle,
    supervision::Handle,
};

use crate::{passwords::Passwords, signing_keys::Keyring};

/// What the handlers share.
#[derive(Clone, Debug)]
pub struct App {
    /// The users.
    pub repository: RepositoryHandle,
    /// Carries out what changes them.
    pub writes: KeyedWrites,
    /// The pool that hashes passwords.
    pub passwords: Handle<Passwords>,
    /// What tokens are signed by.
    pub keyring: Keyring,
    /// How long whoever verifies may keep the keys.
    pub keys_max_age: Duration,
    /// What tokens say of who writes them.
    pub issuer: Issuer,
    /// How long a password may wait for its hash.
    pub hash_deadline: Duration,
}

/// Adds the service's routes.
pub fn configure(routes: &mut ServiceConfig, app: &web::Data<App>) {
    routes.app_data(app.clone()).service(description::description().resource()).configure(endpoints);
}

/// The endpoints, each of which [`description`] describes.
fn endpoints(routes: &mut ServiceConfig) {
    routes
        .service(readable("/users", list::list).post(register::register))
        .service(web::resource("/users/sessions").post(log_in::log_in))
        .service(readable("/users/{id}", find::find))
        .service(readable("/.well-known/jwks.json", keys::keys).app_data(NoTraffic));
}
