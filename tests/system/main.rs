//! The system's tests: one file per story, each told on real processes and a real RabbitMQ.
//!
//! `support` gives a test its system and an AMQP client that knows nothing of Warren; the harness is the library beside.

mod support;

mod cargo_up;
mod harness_works;

mod four_curls;

mod bad_requests;

mod bad_events;
mod plain_messages;

mod architecture;
mod contracts;
mod idempotency;
mod internal;
mod traces;
