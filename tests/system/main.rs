//! The system's tests: one file per story, each told on real processes and a real RabbitMQ.
//!
//! `support` gives a test its system and an AMQP client that knows nothing of Warren; the harness is the library beside.

mod support;

mod actor_faults;
mod broker_cut_off;
mod broker_killed;
mod broker_silent;
mod cargo_up;
mod disk_full;
mod harness_works;
mod late_broker;
mod services_killed;
mod sigterm;
mod start_and_idle;
mod thrice_and_shuffled;
