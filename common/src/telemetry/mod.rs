//! What a service says about itself: log lines, metrics, the trace that ties them to a request, and the spans of it.

pub mod log;
pub mod metrics;
mod process;
pub mod trace;

pub mod spans;
