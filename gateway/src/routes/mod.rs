//! The public endpoints: one, for everything that the table knows.

mod forward;

mod answer;
mod problem;
mod upload;

pub use forward::{Front, forward};
