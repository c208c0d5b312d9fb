//! The system's tests: one file per behaviour, told in stories on real processes: on the embedded broker and, where it is
//! installed, on a real RabbitMQ.
//!
//! `support` gives a test its system and an AMQP client that knows nothing of Warren; the harness is the library beside.

use std::process::ExitCode;

mod support;

mod four_curls;

mod auth_required;
mod key_rotation;
mod openapi;
mod rate_limit;
mod reload;

mod admin_access;
mod admin_hosts;
mod bad_requests;
mod deadlines;
mod idempotency;
mod internal;
mod logins;
mod metrics;
mod ownership;

mod console_costs;
mod console_picture;

mod logs;
mod spans;
mod traces;

mod bad_events;
mod dead_letters_by_key;
mod dead_letters_command;
mod dead_letters_waiting;
mod hostile_messages;
mod large_dead_letters;
mod plain_messages;
mod thrice_and_shuffled;

mod event_ledger;
mod timeline;

mod broker_cut_off;
mod broker_killed;
mod broker_silent;
mod late_broker;
mod unreadable_event;

mod moments_of_consuming;
mod moments_of_publishing;

mod actor_faults;
mod disk_full;
mod experiments;
mod faults_on_demand;
mod new_address;
mod services_killed;
mod sigterm;
mod slow_network;
mod start_and_idle;

mod architecture;
mod contracts;

mod bench_works;
mod cargo_up;
mod chaos_works;
mod harness_works;
mod top;

fn main() -> ExitCode {
    warren::harness::run(warren::stories_of![
        four_curls,
        auth_required,
        key_rotation,
        openapi,
        rate_limit,
        reload,
        bad_requests,
        deadlines,
        idempotency,
        admin_access,
        admin_hosts,
        internal,
        logins,
        metrics,
        ownership,
        console_costs,
        console_picture,
        logs,
        spans,
        traces,
        bad_events,
        hostile_messages,
        dead_letters_by_key,
        dead_letters_command,
        dead_letters_waiting,
        large_dead_letters,
        plain_messages,
        thrice_and_shuffled,
        event_ledger,
        timeline,
        broker_cut_off,
        broker_killed,
        broker_silent,
        late_broker,
        unreadable_event,
        moments_of_consuming,
        moments_of_publishing,
        actor_faults,
        disk_full,
        experiments,
        faults_on_demand,
        new_address,
        services_killed,
        slow_network,
        sigterm,
        start_and_idle,
        architecture,
        contracts,
        bench_works,
        cargo_up,
        top,
        chaos_works,
        harness_works,
    ])
}
