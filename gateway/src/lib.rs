//! The only public entry: takes a request, finds the service that answers it, and passes both on.
//!
//! Read in the order of a request: the port ([`server`]), what came over it ([`http1`]), the table ([`routing`]) and
//! the policies on it ([`settings`], [`guard`], [`policy`]), the path of the bytes ([`proxy`]), and the services
//! behind ([`upstream`]). [`api`] is what the gateway says of them all to those who write clients, and [`console`] what those
//! see who run the system, on a port of its own.

mod check;
pub mod config;
pub mod startup;

pub mod settings;

pub mod reload;

pub mod server;

pub mod http1;

pub mod routing;

pub mod guard;
pub mod policy;

pub mod proxy;

pub mod upstream;

pub mod api;

pub mod console;

pub use check::check;

use std::process::ExitCode;

use common::service;

/// Runs the gateway until it is told to stop; with the argument `--health`, asks a running one how it is.
pub fn run() -> ExitCode {
    match service::prepare("gateway", config::Config::from_env, |config| config.public.port) {
        Ok(config) => startup::run(config),
        Err(code) => code,
    }
}
