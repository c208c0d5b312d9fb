//! `warren dead-letters`: shows an operator what no consumer could handle, sends it back once the cause is gone, and
//! discards what nobody needs. It asks the gateway to, which writes down what was changed.

use std::error::Error;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, Subcommand};
use http::Method;
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::admin::{Admin, AdminError, AdminOptions, AdminProblem, Unanswered};
use crate::command;
use crate::http::Call;
use crate::plain::is_obeyed;

/// How much of a body is shown.
const SHOWN: usize = 200;

/// The gateway gives an operation a minute, after it has waited for the one before.
const DEADLINE: Duration = Duration::from_secs(70);

/// What `warren dead-letters` accepts.
#[derive(Args, Debug)]
pub struct Options {
    #[command(subcommand)]
    action: Action,

    #[command(flatten)]
    admin: AdminOptions,
}

#[derive(Subcommand, Debug)]
enum Action {
    /// Print the dead letters, the oldest first, and leave them where they are
    List {
        /// Print at most this many; the gateway lists up to 500
        #[arg(long, value_name = "N", default_value_t = 20)]
        limit: u32,
    },
    /// Send dead letters back to the queues they were in, to be attempted anew; asks first, or wants --yes
    Replay {
        /// Only those that were in this queue, such as users.order-created
        #[arg(conflicts_with = "key")]
        queue: Option<String>,

        /// Only the one that `list` shows with this key
        #[arg(long, value_name = "K", value_parser = key)]
        key: Option<String>,

        #[command(flatten)]
        sure: Sure,
    },
    /// Remove a dead letter for ever; asks first, or wants --yes
    Discard {
        /// The one that `list` shows with this key
        #[arg(long, value_name = "K", value_parser = key)]
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

/// Takes a key that can be one.
fn key(text: &str) -> Result<String, &'static str> {
    match !text.is_empty() && text.chars().all(|char| char.is_ascii_alphanumeric()) {
        true => Ok(text.to_owned()),
        false => Err("a key looks like 0123456789abcdef, as `list` shows it"),
    }
}

/// Does what it is told; exits with 1 where the gateway cannot be reached or says no.
pub fn main(options: &Options) -> ExitCode {
    command::run(run(options))
}

async fn run(Options { action, admin }: &Options) -> Result<(), Box<dyn Error>> {
    let admin = Admin::new(admin)?;
    let text = match action {
        Action::List { limit } => {
            let list = admin.call(Method::GET, &format!("/dead-letters?limit={limit}")).deadline(DEADLINE);
            admin.read::<Letters>(list).await?.text()
        }
        Action::Replay { key: Some(key), sure, .. } => {
            sure.confirm(&format!("Send the dead letter {key} back to its queue?"))?;
            let replay = change(&admin, Method::POST, &format!("/dead-letters/{key}/replay"), None);
            admin.read::<Replayed>(replay).await.map_err(|why| about(key, why))?.to_string()
        }
        Action::Replay { queue, key: None, sure } => {
            let which = queue.as_deref().map(|queue| format!(" of {queue}")).unwrap_or_default();
            sure.confirm(&format!(
                "Send every dead letter{which} of the system at {} back to its queue?",
                admin.base()
            ))?;
            let replay = change(&admin, Method::POST, "/dead-letters/replay", queue.as_deref());
            admin.read::<Replayed>(replay).await?.to_string()
        }
        Action::Discard { key, sure } => {
            sure.confirm(&format!("Remove the dead letter {key} for ever?"))?;
            let discard = change(&admin, Method::DELETE, &format!("/dead-letters/{key}"), None);
            admin.send(discard).await.map_err(|why| about(key, why))?;
            "discarded 1\n".to_owned()
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

/// Begins a change, of which the operator is sure.
fn change(admin: &Admin, method: Method, path: &str, queue: Option<&str>) -> Call {
    admin.call(method, path).json(&json!({ "confirm": true, "queue": queue })).deadline(DEADLINE)
}

/// Names the key where there is no such letter.
fn about(key: &str, why: Unanswered) -> Box<dyn Error> {
    match why.error {
        AdminError::Problem(AdminProblem { error, detail }) if &*error == "dead letter not found" => {
            format!("no dead letter has the key {key}: {detail}").into()
        }
        _ => why.into(),
    }
}

/// What a replay did.
#[derive(Deserialize)]
struct Replayed {
    replayed: u64,
    left: u64,
}

impl fmt::Display for Replayed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "replayed {}, left {}", self.replayed, self.left)
    }
}

/// What the gateway lists.
#[derive(Deserialize)]
struct Letters {
    items: Vec<Letter>,
    /// Whether there are more than were asked for.
    more: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Letter {
    key: String,
    id: String,
    queue: Option<String>,
    routing_key: String,
    reason: Option<String>,
    attempts: Option<i64>,
    failed_at: Option<Timestamp>,
    headers: Map<String, Value>,
    /// Its beginning, where it is text.
    body: Option<String>,
    /// Its beginning, where it is none.
    body_base64: Option<String>,
    body_bytes: usize,
}

impl Letters {
    fn text(&self) -> String {
        let mut text: Vec<_> = self.items.iter().map(Letter::text).collect();
        if text.is_empty() {
            text.push("no dead letters\n".into());
        }
        if self.more {
            text.push("there are more: a larger --limit shows up to 500\n".into());
        }
        text.join("\n")
    }
}

impl Letter {
    /// A line for each of its parts.
    fn text(&self) -> String {
        let unknown = || "unknown".to_owned();
        let shown = |text: &Option<String>| text.as_deref().map_or_else(unknown, printable);
        format!(
            "key          {}\nqueue        {}\nrouting key  {}\nid           {}\nreason       {}\nattempts     {}\n\
             failed at    {}\nheaders      {}\nbody         {}\n",
            printable(&self.key),
            shown(&self.queue),
            printable(&self.routing_key),
            printable(&self.id),
            shown(&self.reason),
            self.attempts.map_or_else(unknown, |attempts| attempts.to_string()),
            self.failed_at.map_or_else(unknown, |at| at.to_string()),
            self.headers_shown(),
            self.body_shown(),
        )
    }

    /// The headers as JSON, which is one line.
    fn headers_shown(&self) -> String {
        match self.headers.is_empty() {
            true => "none".into(),
            false => printable(&Value::from(self.headers.clone()).to_string()),
        }
    }

    fn body_shown(&self) -> String {
        let (what, body) = match (&self.body, &self.body_base64) {
            (Some(text), _) => ("", text.as_str()),
            (None, Some(base64)) => ("in base64: ", base64.as_str()),
            (None, None) => return "unknown".into(),
        };
        let start: String = body.chars().take(SHOWN).collect();
        match start.len() < body.len() {
            true => format!("{what}{}… ({} bytes in all)", printable(&start), self.body_bytes),
            false => format!("{what}{}", printable(&start)),
        }
    }
}

/// Anyone may publish anything, also what a terminal would obey: such characters are shown as escapes.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for char in text.chars() {
        match is_obeyed(char) {
            true => shown.extend(char.escape_default()),
            false => shown.push(char),
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(body: &str) -> Letter {
        let letter = json!({
            "key": "0123456789abcdef",
            "id": "event-1",
            "queue": "users.order-created",
            "routingKey": "order.created",
            "reason": "no such\u{1b}[2Juser",
            "attempts": 4,
            "failedAt": null,
            "headers": { "x-tenant": "t\u{9b}1" },
            "body": body,
            "bodyBytes": body.len(),
        });
        serde_json::from_value(letter).expect("a letter as the gateway lists it")
    }

    #[test]
    fn a_letter_is_shown_with_what_is_unknown_and_without_what_a_terminal_would_obey() {
        assert_eq!(
            Letters { items: vec![letter("{}\n\u{202e}")], more: false }.text(),
            "key          0123456789abcdef\nqueue        users.order-created\nrouting key  order.created\n\
             id           event-1\nreason       no such\\u{1b}[2Juser\nattempts     4\nfailed at    unknown\n\
             headers      {\"x-tenant\":\"t\\u{9b}1\"}\nbody         {}\\n\\u{202e}\n"
        );
    }

    #[test]
    fn a_long_body_is_cut_between_two_characters_and_one_that_is_no_text_is_in_base64() {
        let whole = "é".repeat(SHOWN);
        assert_eq!(letter(&format!("{whole}é")).body_shown(), format!("{whole}… (402 bytes in all)"));
        assert_eq!(letter(&whole).body_shown(), whole);

        let bytes = Letter { body: None, body_base64: Some("//8=".into()), ..letter("") };
        assert_eq!(bytes.body_shown(), "in base64: //8=");
    }

    #[test]
    fn a_list_says_whether_there_are_more() {
        let list = |items, more| Letters { items, more }.text();

        assert_eq!(list(vec![], false), "no dead letters\n");
        assert!(
            list(vec![letter("")], true).ends_with("\n\nthere are more: a larger --limit shows up to 500\n")
        );
        assert!(!list(vec![letter("")], false).contains("more"));
    }

    #[test]
    fn what_cannot_be_a_key_is_none() {
        assert_eq!(key("0123456789abcdef").as_deref(), Ok("0123456789abcdef"));
        for odd in ["", "a/b", "a b", "../replay", "ä"] {
            assert!(key(odd).is_err(), "{odd:?}");
        }
    }
}
