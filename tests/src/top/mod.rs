//! `warren top`: the console's picture in a terminal, for those who live there.
//!
//! It reads what the gateway's admin port tells by server-sent events, and asks for it once a second where no stream comes
//! through. What is shown is a pure function of what was heard, the time and the size of the terminal; and what was heard is
//! made printable before anything else sees it, because a terminal obeys control characters.

mod options;
pub use options::Options;

mod snapshot;

mod incident;

mod row;
mod words;

mod picture;
mod timeline;

mod app;
mod view;

mod sse;

mod feed;

mod terminal;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use ratatui::text::Line;
use snapshot::Snapshot;

use crate::admin::Admin;
use crate::command;

/// The whole picture.
const STATE: &str = "/console/state";

/// The same again and again, as it changes.
const EVENTS: &str = "/console/events";

/// What happened.
const TIMELINE: &str = "/console/timeline?limit=200";

/// Between the two looks that a single picture takes.
const SECOND_LOOK: Duration = Duration::from_secs(1);

/// How wide the picture is where nobody's terminal says.
const WIDTH: usize = 140;

/// Shows the picture until it is told to end, or once; exits with 1 where there is no gateway to ask.
pub fn main(options: Options) -> ExitCode {
    command::run(run(options))
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let once = options.once || !io::stdout().is_terminal() || !io::stdin().is_terminal();
    let admin = Admin::new(&options.admin)?;
    let first: Snapshot = admin.get(STATE).await?;
    if once {
        // The first look has no rates, and does not know since when anything is as it is.
        tokio::time::sleep(SECOND_LOOK).await;
        let second: Snapshot = admin.get(STATE).await?;
        return Ok(print(&second.since_before(first.now()))?);
    }
    terminal::run(admin, first).await
}

/// Prints the picture as plain text.
fn print(snapshot: &Snapshot) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let lines = picture::lines(snapshot, snapshot.now(), WIDTH);
    let mut summary = picture::summary(snapshot);
    summary.extend(picture::dead_letters(snapshot));
    let written = std::iter::once(summary)
        .chain([Line::default()])
        .chain(lines)
        .try_for_each(|line| writeln!(out, "{}", line.to_string().trim_end()));
    match written {
        // Whoever reads only the beginning, such as `head`, has what it wants.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
