//! What every test needs: a system of this build's binary, clients that count, and a view of the broker from outside.

mod amqp;
pub use amqp::{Amqp, Message, Published};

mod tap;
pub use tap::Tap;

mod problem;
pub use problem::problem;

mod dead_letters;
pub use dead_letters::{dead_letters, succeed};

pub mod wire;

pub mod stranger;

mod viewer;
pub use viewer::{Viewer, link, process};

pub mod source;

mod promql;
pub use promql::metrics_in;

pub use warren::harness::{Actors, end_stall, inject, stall, wait_next_generation};
pub use warren::load::{Door, Habits, Ledger, Shoppers};

mod leaks;
pub use leaks::Holds;

mod held;
pub use held::{order_count, orders_of, under_way};

mod stage;
pub use stage::{CONSUMING, PUBLISHING, Stage};

mod small_disk;
pub use small_disk::{SmallDisk, can_mount, limit_files, with_names, wrapped};

mod chance;
pub use chance::seeded;

mod sessions;
pub use sessions::Session;

mod registered;
pub use registered::queues_are_registered;

mod collector;
pub use collector::{Collected, Collector, Trace};

mod processes;
pub use processes::processes_of;

use std::path::Path;

use futures_util::future::join_all;
use warren::harness::{Child, Setup, System};

/// This build's binary.
pub const WARREN: &str = env!("CARGO_BIN_EXE_warren");

/// A system of this build, to be adapted and started.
pub fn system() -> Setup {
    system_of(WARREN)
}

/// A system of another binary, such as a script that runs this build's.
pub fn system_of(warren: impl AsRef<Path>) -> Setup {
    Setup::new(warren, |amqp_url| {
        Box::pin(async move { Amqp::connect(&amqp_url).await.depth("events.dead").await.unwrap_or(0) })
    })
}

/// Starts users and orders alone, and waits until both have their broker.
pub async fn start_services(setup: Setup) -> System {
    let system = setup.prepare().await;
    let services = [&system.users, &system.orders];
    services.iter().for_each(|child| child.start());
    join_all(services.map(Child::wait_not_degraded)).await;
    system
}
