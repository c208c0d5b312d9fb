//! The gateway between raw sockets on both sides, since HTTP libraries are too polite to show what really
//! arrives.

mod harness;

mod aborts;
mod actors;
mod answers;
mod deadlines;
mod expect;
mod paths;
mod policies;
mod reload;
mod requests;
mod resilience;
mod slow_clients;
mod smuggling;
mod stop;
mod streaming;
mod websocket;
