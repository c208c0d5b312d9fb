//! Breaks something on purpose, places orders meanwhile, and counts afterwards what became of them. Only with `DEMO_FAULTS`.
//!
//! An experiment follows a [`Plan`]: a fresh user is registered through the public entry, orders are placed for it, a service
//! is told to fail, and everything is waited for until it works again. The [`Tally`] knows what each order was answered; the
//! audit compares that with what the stores have, and the [`Receipt`] says what was found.
//!
//! The actor is the [`Laboratory`]:
//! - *Owns*: the experiment that runs; what is known of it is in the [`Notebook`].
//! - *Receives*: [`BeginExperiment`].
//! - *Sends*: orders through the gateway's own public port, faults to the services, questions to their stores.
//! - *When it fails*: its experiment ends with a receipt that says so. A fault that was begun ends by itself.

mod plan;

mod tally;

mod audit;

mod receipt;

mod site;

mod load;
mod outlook;
mod recovery;

mod course;

mod notebook;

mod laboratory;

mod handle;

mod open;

pub use audit::{Findings, Stores, audit};
pub use handle::{ExperimentsHandle, NotBegun, Offer};
pub use laboratory::{BeginExperiment, Laboratory};
pub use notebook::Notebook;
pub use open::open;
pub use plan::{Breaking, Kind, Plan};
pub use receipt::{Experiment, Phase, Receipt, Verdict};
pub use site::Site;
pub use tally::{Outcome, Tally};
