//! `warren dead-letters`: shows an operator what no consumer could handle, sends it back once the cause is gone, and
//! discards what nobody needs.

use std::error::Error;
use std::io::{self, IsTerminal, Write};
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
    /// Send dead letters back to the queues they were in, to be attempted anew; asks first, or wants --yes
    Replay {
        /// Only those that were in this queue, such as users.order-created
        #[arg(conflicts_with = "key")]
        queue: Option<String>,

        /// Only the one that `list` shows with this key
        #[arg(long, value_name = "K")]
        key: Option<String>,

        #[command(flatten)]
        sure: Sure,
    },
    /// Remove a dead letter for ever; asks first, or wants --yes
    Discard {
        /// The one that `list` shows with this key
        #[arg(long, value_name = "K")]
        key: String,

        #[command(flatten)]
        sure: Sure,
    },
}

/// Whether the operator means it.
#[derive(Args, Debug)]
struct Sure {
    /// Do not ask whether this is meant; without a terminal to ask on, nothing is changed otherwise
    #[arg(long)]
    yes: bool,
}

/// Does what it is told; exits with 1 where the broker cannot be reached or says no.
pub fn main(options: &Options) -> ExitCode {
    command::run(run(options))
}

async fn run(Options { action, broker }: &Options) -> Result<(), Box<dyn Error>> {
    let operator = DeadLetters::new(config(broker.as_deref())?);
    let text = match action {
        Action::List { limit } => listing(&operator.list(*limit).await?, *limit),
        Action::Replay { key: Some(key), sure, .. } => {
            sure.confirm(&format!("Send the dead letter {key} back to its queue?"))?;
            match operator.replay_one(key).await? {
                Some(Replayed { replayed: 0, .. }) => {
                    return Err(format!("{key} stays: the queue that it was in does not take it").into());
                }
                Some(replayed) => replayed_text(replayed),
                None => return Err(no_such_letter(key)),
            }
        }
        Action::Replay { queue, key: None, sure } => {
            let which = queue.as_deref().map(|queue| format!(" of {queue}")).unwrap_or_default();
            sure.confirm(&format!(
                "Send every dead letter{which} at {} back to its queue?",
                operator.broker()
            ))?;
            replayed_text(operator.replay(queue.as_deref()).await?)
        }
        Action::Discard { key, sure } => {
            sure.confirm(&format!("Remove the dead letter {key} for ever?"))?;
            match operator.discard(key).await? {
                Some(left) => format!("discarded 1, left {left}\n"),
                None => return Err(no_such_letter(key)),
            }
        }
    };
    match io::stdout().write_all(text.as_bytes()) {
        // Whoever reads only the beginning, such as `head`, has what it wants.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

impl Sure {
    /// Asks on the terminal; fails where the answer is not yes, or where there is nobody to ask.
    fn confirm(&self, question: &str) -> Result<(), Box<dyn Error>> {
        if self.yes {
            return Ok(());
        }
        if !io::stdin().is_terminal() {
            return Err("standard input is no terminal to ask on: say --yes if this is meant".into());
        }
        eprint!("{question} [y/N] ");
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        match answer.trim().to_ascii_lowercase().as_str() {
            "y" | "yes" => Ok(()),
            _ => Err("nothing was changed".into()),
        }
    }
}

fn no_such_letter(key: &str) -> Box<dyn Error> {
    format!(
        "no dead letter has the key {key}: it was replayed or discarded meanwhile, or somebody else looks at it just now"
    )
    .into()
}

fn replayed_text(Replayed { replayed, left }: Replayed) -> String {
    format!("replayed {replayed}, left {left}\n")
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
        "key          {}\nqueue        {}\nrouting key  {}\nid           {}\nreason       {}\nattempts     {}\n\
         failed at    {}\nheaders      {}\nbody         {}\n",
        letter.key,
        shown(&letter.queue),
        printable(&letter.routing_key),
        shown(&letter.id),
        shown(&letter.reason),
        letter.attempts.map_or_else(unknown, |attempts| attempts.to_string()),
        letter.failed_at.map_or_else(unknown, |at| at.to_string()),
        headers(letter),
        body(&letter.body, letter.body_bytes),
    )
}

/// Shows the headers as JSON, which is one line.
fn headers(letter: &DeadLetter) -> String {
    match letter.headers.is_empty() {
        true => "none".into(),
        false => printable(&serde_json::Value::from(letter.headers.clone()).to_string()),
    }
}

fn body(bytes: &[u8], whole: usize) -> String {
    let text = String::from_utf8_lossy(bytes);
    let start: String = text.chars().take(SHOWN).collect();
    match start.len() < text.len() {
        true => format!("{}… ({whole} bytes in all)", printable(&start)),
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
    use serde_json::json;

    use super::*;

    fn letter(body: &[u8]) -> DeadLetter {
        DeadLetter {
            key: "0123456789abcdef".into(),
            id: None,
            routing_key: "order.created".into(),
            queue: Some("users.order-created".into()),
            reason: Some("no such\x1b[2Juser".into()),
            attempts: Some(4),
            failed_at: None,
            headers: json!({ "x-tenant": "t\u{9b}1" }).as_object().expect("an object").clone(),
            body: body.to_vec().into(),
            body_bytes: body.len(),
        }
    }

    #[test]
    fn a_letter_is_shown_with_what_is_unknown_and_without_what_a_terminal_would_obey() {
        assert_eq!(
            listing(&[letter(b"{}\n")], 2),
            "key          0123456789abcdef\nqueue        users.order-created\nrouting key  order.created\n\
             id           unknown\nreason       no such\\u{1b}[2Juser\nattempts     4\nfailed at    unknown\n\
             headers      {\"x-tenant\":\"t\\u{9b}1\"}\nbody         {}\\n\n"
        );
    }

    #[test]
    fn a_long_body_is_cut_between_two_characters() {
        let long = "é".repeat(SHOWN + 1);

        assert_eq!(body(long.as_bytes(), long.len()), format!("{}… (402 bytes in all)", "é".repeat(SHOWN)));
        assert_eq!(body("é".repeat(SHOWN).as_bytes(), 2 * SHOWN), "é".repeat(SHOWN));
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
