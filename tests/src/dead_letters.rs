//! `warren dead-letters`: shows an operator what no consumer could handle, and sends it back once the cause is gone.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use common::broker::{BrokerConfig, DeadLetter, DeadLetters, Replayed};
use common::config::Environment;

use crate::command;

/// How much of a body is shown.
const SHOWN: usize = 200;

/// What `warren dead-letters` accepts.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    action: Action,

    /// The broker as an amqp:// URL with its virtual host, such as the one in `cargo up`'s start line; AMQP_URL if not
    /// given
    #[arg(long, value_name = "URL", global = true)]
    broker: Option<String>,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Print the dead letters, the oldest first, and leave them where they are
    List {
        /// Print at most this many
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Send the dead letters back to the queues they were in, to be attempted anew
    Replay {
        /// Only those that were in this queue, such as users.order-created
        queue: Option<String>,
    },
}

/// Does what it is told; exits with 1 where the broker cannot be reached or says no.
pub fn main(options: &Options) -> ExitCode {
    command::run(run(options))
}

async fn run(Options { action, broker }: &Options) -> Result<(), Box<dyn Error>> {
    let operator = DeadLetters::new(config(broker.as_deref())?);
    let text = match action {
        Action::List { limit } => listing(&operator.list(*limit).await?, *limit),
        Action::Replay { queue } => {
            let Replayed { replayed, left } = operator.replay(queue.as_deref()).await?;
            format!("replayed {replayed}, left {left}\n")
        }
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads only the beginning, such as `head`, has what it wants.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

fn config(broker: Option<&str>) -> Result<BrokerConfig, Box<dyn Error>> {
    match broker {
        Some(url) => Ok(BrokerConfig::for_url(url).map_err(|mistake| format!("--broker {mistake}"))?),
        None => {
            let mut env = Environment::from_process();
            let config = BrokerConfig::from_env(&mut env);
            env.finish()?;
            Ok(config)
        }
    }
}

fn listing(letters: &[DeadLetter], limit: usize) -> String {
    let mut text: Vec<_> = letters.iter().map(block).collect();
    if text.is_empty() && limit > 0 {
        text.push("no dead letters\n".into());
    } else if text.len() == limit {
        text.push("there may be more, which a larger --limit shows\n".into());
    }
    text.join("\n")
}

/// Shows one dead letter, a line for each of its parts.
fn block(letter: &DeadLetter) -> String {
    let unknown = || "unknown".to_owned();
    let shown = |text: &Option<String>| text.as_deref().map_or_else(unknown, printable);
    format!(
        "queue        {}\nrouting key  {}\nid           {}\nreason       {}\nattempts     {}\nfailed at    {}\n\
         body         {}\n",
        shown(&letter.queue),
        printable(&letter.routing_key),
        shown(&letter.id),
        shown(&letter.reason),
        letter.attempts.map_or_else(unknown, |attempts| attempts.to_string()),
        letter.failed_at.map_or_else(unknown, |at| at.to_string()),
        body(&letter.body),
    )
}

fn body(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start: String = text.chars().take(SHOWN).collect();
    match start.len() < text.len() {
        true => format!("{}… ({} bytes in all)", printable(&start), bytes.len()),
        false => printable(&start),
    }
}

/// Anyone may publish anything, also what a terminal would obey: control characters are shown as escapes.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match char.is_control() {
            true => shown.extend(char.escape_default()),
            false => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &[u8]) -> DeadLetter {
        DeadLetter {
            id: None,
            routing_key: "order.created".into(),
            queue: Some("users.order-created".into()),
            reason: Some("no such\x1b[2Juser".into()),
            attempts: Some(4),
            failed_at: None,
            body: body.to_vec().into(),
        }
    }

    #[test]
    fn a_letter_is_shown_with_what_is_unknown_and_without_what_a_terminal_would_obey() {
        assert_eq!(
            listing(&[letter(b"{}\n")], 2),
            "queue        users.order-created\nrouting key  order.created\nid           unknown\n\
             reason       no such\\u{1b}[2Juser\nattempts     4\nfailed at    unknown\nbody         {}\\n\n"
        );
    }

    #[test]
    fn a_long_body_is_cut_between_two_characters() {
        let long = "é".repeat(SHOWN + 1);

        assert_eq!(body(long.as_bytes()), format!("{}… (402 bytes in all)", "é".repeat(SHOWN)));
        assert_eq!(body("é".repeat(SHOWN).as_bytes()), "é".repeat(SHOWN));
    }

    #[test]
    fn a_full_list_says_that_there_may_be_more() {
        assert_eq!(listing(&[], 20), "no dead letters\n");
        assert!(
            listing(&[letter(b"")], 1).ends_with("\n\nthere may be more, which a larger --limit shows\n")
        );
        assert!(!listing(&[letter(b"")], 2).contains("more"));
    }
}
