//! The only public entry: takes a request, finds the service that answers it, and passes both on.
//!
//! Read in the order of a request: the table ([`routing`]), the endpoint (`routes`), the actor that owns the
//! connections ([`proxy`]), what is known of the services behind it ([`upstream`]), and
//! what the gateway says of them all to those who write clients ([`api`]).

pub mod config;
pub mod startup;

pub mod routing;

mod routes;

pub mod guard;

pub mod proxy;
pub mod upstream;

pub mod api;

use std::process::ExitCode;

use common::service;

/// Runs the gateway until it is told to stop; with the argument `--health`, asks a running one how it is.
pub fn run() -> ExitCode {
    match service::prepare("gateway", config::Config::from_env, |config| config.public.port) {
        Ok(config) => startup::run(config),
        Err(code) => code,
    }
}
