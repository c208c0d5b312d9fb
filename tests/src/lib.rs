//! The whole system on one machine: what `cargo up` runs, and the harness its tests are written with.
//!
//! Both start the same binary in child processes, `warren users`, `warren orders` and `warren gateway`, and both bring
//! their own broker. So what a person runs by hand is exactly what the tests run.

pub mod service;

pub mod parent;

mod last_end;

pub mod ports;

pub mod http;

mod plain;

mod admin;

mod watched;
pub use watched::Keep;

pub mod rabbit;

pub mod broker;

pub mod own_broker;

mod command;

pub mod duration;

pub mod fault;

pub mod fault_proxy;

pub mod up;

pub mod top;

pub mod dead_letters;

pub mod bench;

pub mod harness;

pub mod load;

pub mod chaos;
