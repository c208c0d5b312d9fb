//! What operators see and do, on the admin port.

mod dead_letters;

pub mod routes;

pub use dead_letters::{DeadLetterDesk, DeskError};
