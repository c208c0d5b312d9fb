//! The gateway between raw sockets on both sides, since HTTP libraries are too polite to show what really
//! arrives.

mod harness;

mod aborts;
mod actors;
mod answers;
mod deadlines;
mod paths;
mod requests;
mod smuggling;
mod stop;
mod streaming;
