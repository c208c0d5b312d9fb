//! Keeps actors alive: whatever ends one, a fresh one takes its place.
//!
//! actix's own `Supervisor` neither restarts after a panic nor waits between restarts, so each actor here has
//! a *guardian*: it builds the actor from a factory, and when the actor ends, by stop, error or
//! panic, it notes why, waits (exponential, full jitter) and builds the next generation. Callers hold a
//! [`Handle`], which always leads to the living actor and says "restarting" while there is none.
//!
//! An actor that keeps failing is beyond a restart's help. More failures than a [`RestartWindow`]
//! allows *escalate*: the process turns unready and ends with [`ESCALATED`], and whoever
//! started it starts it again from durable state. Losing something outside the process ([`Exit::Lost`], such as
//! the broker) is no failure of the actor and never escalates.

mod exit;
mod guardian;
mod handle;
mod life;
mod observe;
mod supervisor;
mod window;

pub use exit::Exit;
pub use guardian::{Fault, Spec};
pub use handle::{AskError, Handle};
pub use life::Life;
pub use observe::{ActorReport, ActorStatus, Observe};
pub use supervisor::{NoSuchActor, Supervisor};
pub use window::RestartWindow;

/// Exit code of a process whose supervision escalated (`EX_SOFTWARE` of BSD's sysexits).
pub const ESCALATED: u8 = 70;

#[cfg(test)]
mod tests;
