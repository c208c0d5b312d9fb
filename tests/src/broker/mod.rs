//! An AMQP 0-9-1 broker in one process, so that Warren runs and is tested where nothing is installed.
//!
//! It is what the services of Warren and any other client take for RabbitMQ, as far as it goes: exchanges, queues, confirms,
//! acknowledgements, limits and dead letters behave as there, which one suite of behaviours shows on both, and what is not
//! done is refused with 540. A confirm means that the message is on disk. It is for development, tests and demos on one
//! machine: one process, one disk, one login. Production uses RabbitMQ.
//!
//! One thread owns all state and does all work that needs no disk. Read it along the way of a message: a `connection` takes
//! its frames apart, `methods` says what each means, `publish` brings it to its queues, the `journal` to the disk, `confirm`
//! tells its publisher, `dispatch` takes it to a consumer, and `acknowledge` or `bury` ends its way.

mod options;
pub use options::Options;

mod server;

mod core;

mod connection;

mod channel;

mod methods;

mod refusal;
pub use refusal::{Refusal, Scope};

mod arguments;

mod exchange;

mod message;
pub use message::{BadMessage, Message};

mod queue;

mod publish;

mod blocking;

mod journal;

mod confirm;

pub mod store;

mod dispatch;

mod acknowledge;

mod bury;

mod death;

mod timers;

mod definitions;

pub mod faults;

mod orders;

mod effects;

mod misdeliver;

mod process;
pub use process::{EmbeddedError, EmbeddedNode};

use std::process::ExitCode;

use common::config::Environment;
use common::service::MISCONFIGURED;
use common::telemetry::{self, log::LogConfig};

use crate::command;

/// A panic in one task would leave the others with half a change. Ends the process instead: what was confirmed is on disk.
fn end_with_a_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}

/// Runs the broker until SIGINT or SIGTERM; exits with 0 when all that it took is on disk.
pub fn main(options: &Options) -> ExitCode {
    let mut env = Environment::from_process();
    let log = LogConfig::from_env(&mut env);
    if let Err(error) = env.finish() {
        eprintln!("broker cannot start: {error}");
        return ExitCode::from(MISCONFIGURED);
    }
    telemetry::log::init("broker", &log);
    end_with_a_panic();
    command::run(server::run(options))
}
