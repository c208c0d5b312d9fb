//! What every test needs: a system of this build's binary, and a view of the broker from outside.

mod amqp;
pub use amqp::{Amqp, Message, Published};

mod tap;
pub use tap::Tap;

mod problem;
pub use problem::problem;

pub mod wire;

pub mod source;

mod processes;
pub use processes::processes_of;

use warren::harness::Setup;

/// This build's binary.
pub const WARREN: &str = env!("CARGO_BIN_EXE_warren");

/// A system of this build, to be adapted and started.
pub fn system() -> Setup {
    Setup::new(WARREN, |amqp_url| {
        Box::pin(async move { Amqp::connect(&amqp_url).await.depth("events.dead").await.unwrap_or(0) })
    })
}
