//! The orders service: who ordered what.
//!
//! Read [`domain`] for what an order is, [`repository`] for what can be asked and changed, [`routes`] for how
//! the world asks, [`customers`] for what is asked of the users service, [`consumers`] for what is heard from
//! it, and [`startup`] for how it all comes together.

pub mod domain;
pub mod events;

pub mod repository;

pub mod customers;

pub mod consumers;
pub mod routes;

pub mod startup;

/// The service's name: in logs, metrics and events.
pub const SERVICE: &str = "orders";

/// Runs the service until it is told to stop.
pub fn run() -> std::process::ExitCode {
    common::service::run(SERVICE, 3002, customers::CustomersConfig::from_env, startup::build)
}
