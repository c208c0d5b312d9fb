//! What a service says about itself: log lines, metrics, and the trace that ties them to a request.

pub mod log;
pub mod metrics;
mod process;
pub mod trace;
