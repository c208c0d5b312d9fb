//! The system's tests: one file per story, each told on real processes and a real RabbitMQ.
//!
//! `support` gives a test its system and an AMQP client that knows nothing of Warren; the harness is the library beside.

mod support;

mod four_curls;

mod auth_required;
mod key_rotation;
mod openapi;
mod rate_limit;
mod reload;

mod bad_requests;
mod deadlines;
mod idempotency;
mod internal;
mod logins;
mod ownership;
mod traces;

mod bad_events;
mod dead_letters_command;
mod plain_messages;
mod thrice_and_shuffled;

mod broker_cut_off;
mod broker_killed;
mod broker_silent;
mod late_broker;

mod actor_faults;
mod disk_full;
mod new_address;
mod services_killed;
mod sigterm;
mod slow_network;
mod start_and_idle;

mod architecture;
mod contracts;

mod bench_works;
mod cargo_up;
mod harness_works;
