//! `warren fault`: has the embedded broker of a system that runs do something wrong, so that one can watch.

mod options;
pub use options::Options;
use options::{Action, Select};

mod effect;

mod words;
use words::told;

mod table;
use table::table;

use std::error::Error;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::broker::faults::{
    Answer, Control, ControlError, Effect, Moment, Order, Rule, Selection, socket_in,
};
use crate::command;

/// Does what it is told; exits with 1 where the broker does not run or says no.
pub fn main(options: Options) -> ExitCode {
    command::run(run(options))
}

async fn run(Options { action, data, socket }: Options) -> Result<(), Box<dyn Error>> {
    let socket = socket.unwrap_or_else(|| socket_of(&data));
    let json = matches!(action, Action::Status { json: true });
    let order = order(action);
    let answer = Control::at(&socket).order(&order).await.map_err(|error| match error {
        ControlError::Unreachable { .. } => format!(
            "{error}; faults are the embedded broker's, so it must run: `cargo up --broker embedded` starts it, this \
             is run in the folder where that was, and --data names another folder than target/warren where it was given one"
        ),
        error => error.to_string(),
    })?;

    match io::stdout().write_all(text(&order, &answer, json).as_bytes()) {
        // Whoever reads only the beginning, such as `head`, has what it wants.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// The control socket of the broker that `cargo up` runs with this data folder.
fn socket_of(data: &Path) -> PathBuf {
    socket_in(&data.join("broker"))
}

fn order(action: Action) -> Order {
    let rule = |at, effect, times| Order::Rule(Rule::new(at, effect).times(times));
    match action {
        Action::Drop { select } => Order::Drop { connections: selection(select) },
        Action::Refuse { lasting } => Order::Refuse { for_ms: lasting.map(ms) },
        Action::Accept => Order::Accept,
        Action::Silence { select, lasting } => {
            Order::Silence { connections: selection(select), for_ms: lasting.map(ms) }
        }
        Action::Speak => Order::Speak,
        Action::Block => Order::Block,
        Action::Unblock => Order::Unblock,
        Action::CancelConsumers { queue } => Order::CancelConsumers { queue },
        Action::CloseChannels { select, code, text } => {
            Order::CloseChannels { connections: selection(select), code, text }
        }
        Action::ForgetQueues => Order::ForgetQueues,
        Action::AddVhost { name } => Order::AddVhost { name },
        Action::Nack { count } => rule(Moment::PublishReceived, Effect::Nack, count),
        Action::Return { count } => rule(Moment::PublishReceived, Effect::Return, count),
        Action::DelayConfirms { delay, count } => {
            rule(Moment::PublishStored, Effect::Delay { ms: ms(delay) }, count)
        }
        Action::DelayDeliveries { delay, count } => {
            rule(Moment::BeforeDelivery, Effect::Delay { ms: ms(delay) }, count)
        }
        Action::ReorderConfirms { size, count } => {
            rule(Moment::PublishStored, Effect::Reorder { count: size }, count)
        }
        Action::ReorderDeliveries { size, count } => {
            rule(Moment::BeforeDelivery, Effect::Reorder { count: size }, count)
        }
        Action::Twice { count } => rule(Moment::BeforeDelivery, Effect::Twice, count),
        Action::Rule(rule) => Order::Rule(rule.into_rule()),
        Action::ClearRules => Order::ClearRules,
        Action::Release => Order::Release,
        Action::Status { .. } => Order::Status,
        Action::Crash => Order::Crash,
    }
}

fn selection(Select { name }: Select) -> Selection {
    Selection { name }
}

fn ms(duration: Duration) -> u64 {
    // A duration on the command line is no longer than a year.
    duration.as_millis() as u64
}

/// What the answer says, for a person, or for a program where it asks for that.
fn text(order: &Order, answer: &Answer, json: bool) -> String {
    match &answer.status {
        Some(status) if json => format!("{}\n", serde_json::to_string_pretty(status).unwrap_or_default()),
        Some(status) => table(status),
        None => format!("{}\n", told(order, answer)),
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn ordered(line: &str) -> Order {
        let words = std::iter::once("fault").chain(line.split(' '));
        order(Cli::try_parse_from(words).unwrap_or_else(|error| panic!("{error}")).options.action)
    }

    #[test]
    fn every_order_can_be_given() {
        let users = || Selection::named("users");
        let rule = |at, effect| Order::Rule(Rule::new(at, effect));
        let many = |at, effect, times| Order::Rule(Rule::new(at, effect).times(times));
        for (line, order) in [
            ("drop", Order::Drop { connections: Selection::all() }),
            ("drop --name users", Order::Drop { connections: users() }),
            ("refuse --for 5s", Order::Refuse { for_ms: Some(5_000) }),
            ("refuse", Order::Refuse { for_ms: None }),
            ("accept", Order::Accept),
            ("silence --name users --for 20s", Order::Silence { connections: users(), for_ms: Some(20_000) }),
            ("speak", Order::Speak),
            ("block", Order::Block),
            ("unblock", Order::Unblock),
            ("cancel-consumers q", Order::CancelConsumers { queue: "q".into() }),
            (
                "close-channels --code 406 --text no",
                Order::CloseChannels { connections: Selection::all(), code: 406, text: "no".into() },
            ),
            ("forget-queues", Order::ForgetQueues),
            ("add-vhost a", Order::AddVhost { name: "a".into() }),
            ("nack --count 3", many(Moment::PublishReceived, Effect::Nack, 3)),
            ("return", rule(Moment::PublishReceived, Effect::Return)),
            ("delay-confirms 200ms --count 100", many(Moment::PublishStored, Effect::Delay { ms: 200 }, 100)),
            (
                "delay-deliveries 1s --count always",
                many(Moment::BeforeDelivery, Effect::Delay { ms: 1_000 }, u64::MAX),
            ),
            ("reorder-confirms 5", rule(Moment::PublishStored, Effect::Reorder { count: 5 })),
            ("reorder-deliveries 5", rule(Moment::BeforeDelivery, Effect::Reorder { count: 5 })),
            ("twice --count 10", many(Moment::BeforeDelivery, Effect::Twice, 10)),
            (
                "rule --at publish-stored --effect drop --skip 9",
                Order::Rule(Rule::new(Moment::PublishStored, Effect::Drop).skip(9)),
            ),
            (
                "rule --at method --effect close-channel:406:no --method queue.declare --connection users --times 2",
                Order::Rule(
                    Rule::new(Moment::Method, Effect::CloseChannel { code: 406, text: "no".into() })
                        .method("queue.declare")
                        .connection("users")
                        .times(2),
                ),
            ),
            ("clear-rules", Order::ClearRules),
            ("release", Order::Release),
            ("status", Order::Status),
            ("status --json", Order::Status),
            ("crash --data elsewhere", Order::Crash),
        ] {
            assert_eq!(ordered(line), order, "{line}");
            assert_eq!(order.check(), Ok(()), "{line}");
        }
    }

    #[tokio::test]
    async fn without_an_embedded_broker_the_error_says_where_it_was_sought_and_how_to_start_it() {
        let folder = crate::harness::Folder::new();
        let data = folder.path().to_path_buf();

        let error = run(Options { action: Action::Block, data: data.clone(), socket: None }).await;

        let error = error.expect_err("nobody is there").to_string();
        assert!(error.contains(&data.join("broker/control.sock").display().to_string()), "{error}");
        assert!(error.contains("cargo up --broker embedded"), "{error}");
    }
}
