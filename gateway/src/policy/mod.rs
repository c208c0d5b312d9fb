//! The policies that the gateway itself enforces, each pure and cheap enough for every request: how much one
//! client may ask for, which pages of other origins may call, and what the gateway's own answers say about
//! themselves.

mod cors;

pub use cors::Cors;
