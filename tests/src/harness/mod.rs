//! The harness of the system's tests: the whole system in child processes, on free ports, with a broker.
//!
//! A test starts a [`System`], does to it what the world might do, and ends with [`System::finish`], which checks what
//! must hold after every story: the outboxes are empty, no dead letter is left (a test that makes some takes them away), and each process ends
//! in good order. When a test fails, its data is kept and the end of each log is printed.
//!
//! A test is a story, told once on each broker ([`run`]). Stories share one broker of a kind and are kept apart by virtual
//! hosts. One that harms its broker has its own ([`private_node`]).

mod eventually;
pub use eventually::{eventually, eventually_equal};

mod folder;
pub use folder::Folder;

mod child;
pub use child::Child;

mod actors;
pub use actors::{Actors, end_stall, inject, stall, wait_next_generation};

mod broker;
pub use broker::{BrokerKind, GIVEN, absent_node, private_node, shared_vhost};

pub use crate::own_broker::{Broker, BrokerError};

mod setup;
pub use setup::{DeadLetters, Setup};

mod system;
pub use system::System;

mod stories;
pub use stories::{On, Stories, Story, current_broker, note, run};
