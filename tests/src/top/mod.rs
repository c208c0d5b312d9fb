//! `warren top`: the console's picture in a terminal, for those who live there.
//!
//! It reads what the gateway's admin port tells by server-sent events, and asks for it once a second where no stream comes
//! through. What is shown is a pure function of what was heard, the time and the size of the terminal; and what was heard is
//! made printable before anything else sees it, because a terminal obeys control characters.

mod options;
pub use options::Options;

mod plain;

mod snapshot;

mod incident;

mod row;
mod words;

mod picture;
mod timeline;

mod app;
mod view;

mod admin;
mod sse;

mod feed;

mod terminal;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use admin::Admin;
use ratatui::text::Line;
use snapshot::Snapshot;

use crate::command;

/// How wide the picture is where nobody's terminal says.
const WIDTH: usize = 140;

/// Shows the picture until it is told to end, or once; exits with 1 where there is no gateway to ask.
pub fn main(options: Options) -> ExitCode {
    command::run(run(options))
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    let once = options.once || !io::stdout().is_terminal() || !io::stdin().is_terminal();
    let admin = Admin::new(options)?;
    let first: Snapshot = admin.get(admin::STATE).await?;
    if once {
        return Ok(print(&first)?);
    }
    terminal::run(admin, first).await
}

/// Prints the picture as plain text.
fn print(snapshot: &Snapshot) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let lines = picture::lines(snapshot, snapshot.now(), WIDTH);
    let written = std::iter::once(picture::summary(snapshot))
        .chain([Line::default()])
        .chain(lines)
        .try_for_each(|line| writeln!(out, "{}", line.to_string().trim_end()));
    match written {
        // Whoever reads only the beginning, such as `head`, has what it wants.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}
