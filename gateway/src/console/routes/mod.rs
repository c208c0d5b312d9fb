//! What the console answers over HTTP.

pub mod dead_letters;
