//! The only public entry: takes a request, finds the service that answers it, and passes both on.
//!
//! Read in the order of a request: the table ([`routing`]), the endpoint (`routes`), the actor that owns the
//! connections ([`proxy`]), and what is known of the services behind it ([`upstream`]).

pub mod config;
pub mod startup;

pub mod routing;

mod routes;

pub mod proxy;
pub mod upstream;

use std::process::ExitCode;

use common::{config::Environment, http, service::MISCONFIGURED, telemetry};

/// Runs the gateway until it is told to stop; with the argument `--health`, asks a running one how it is.
pub fn run() -> ExitCode {
    telemetry::log::init("gateway");
    let mut env = Environment::from_process();
    let config = config::Config::from_env(&mut env);
    if let Err(mistakes) = env.finish() {
        log::error!("event=misconfigured mistakes={:?}", mistakes.to_string());
        return ExitCode::from(MISCONFIGURED);
    }
    if std::env::args().any(|argument| argument == "--health") {
        return http::healthcheck(config.public.port);
    }
    startup::run(config)
}
