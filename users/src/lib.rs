//! The users service: who there is, and how many orders each has placed.
//!
//! Read [`domain`] for what a user is, [`repository`] for what can be asked and changed,
//! [`signing_keys`] for what tokens are signed by, [`routes`] for how the world asks, [`consumers`] for what is heard from orders, and [`startup`] for how it all comes together.

pub mod domain;
pub mod events;

pub mod passwords;
pub mod repository;
pub mod signing_keys;

pub mod consumers;
pub mod routes;

mod config;
pub mod startup;

/// The service's name: in logs, metrics and events.
pub const SERVICE: &str = "users";

/// Runs the service until it is told to stop.
pub fn run() -> std::process::ExitCode {
    common::service::run(SERVICE, 3001, config::UsersConfig::from_env, startup::build)
}
