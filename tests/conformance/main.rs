//! What an AMQP 0-9-1 client sees, told once on each broker: on the embedded one and on a real RabbitMQ alike.

use std::process::ExitCode;

fn main() -> ExitCode {
    warren::harness::run(warren::stories_of![])
}
