use std::time::Duration;

/// Which pages of other origins may call, and what they may see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cors {
    origins: Vec<String>,
    methods: String,
    headers: Vec<String>,
    credentials: bool,
    max_age: Duration,
}
