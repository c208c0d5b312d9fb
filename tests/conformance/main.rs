//! What an AMQP 0-9-1 client sees, told once on each broker: on the embedded one and on a real RabbitMQ alike.
//!
//! Where RabbitMQ 3.10 and 4.0 differ, a story asserts what they share. `WARREN_BROKER_URL` names a third broker.

use std::process::ExitCode;

mod support;

mod connections;

mod channels;

mod exchanges;

mod queues;

mod bindings;

mod publishing;

mod consuming;

mod acknowledging;

mod limits;

mod dead_letters;

mod durability;

mod warrens_own;

mod a_library;

mod faults;

mod kill_9;

mod memory;

mod hostile;

mod not_done;

fn main() -> ExitCode {
    warren::harness::run(warren::stories_of![
        connections,
        channels,
        exchanges,
        queues,
        bindings,
        publishing,
        consuming,
        acknowledging,
        limits,
        dead_letters,
        durability,
        warrens_own,
        a_library,
        faults,
        kill_9,
        memory,
        hostile,
        not_done,
    ])
}
