//! What the launcher prints: each line after the name of who said it, in that one's colour.

use std::env;
use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};

const RESET: &str = "\x1b[0m";

/// Who speaks.
#[derive(Clone, Copy, Debug)]
pub(super) struct Voice {
    name: &'static str,
    colour: &'static str,
}

impl Voice {
    pub(super) const LAUNCHER: Voice = Voice { name: "warren", colour: "\x1b[1m" };

    pub(super) fn of(service: crate::service::Service) -> Self {
        use crate::service::Service::{Gateway, Orders, Users};
        let colour = match service {
            Users => "\x1b[32m",
            Orders => "\x1b[33m",
            Gateway => "\x1b[36m",
        };
        Self { name: service.name(), colour }
    }
}

/// Standard output, coloured on a terminal unless `NO_COLOR` is set (no-color.org).
#[derive(Clone, Copy, Debug)]
pub(super) struct Screen {
    is_coloured: bool,
}

impl Screen {
    pub(super) fn new() -> Self {
        let is_wanted = env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { is_coloured: is_wanted && io::stdout().is_terminal() }
    }

    /// Prints a line. Where nobody reads it any more, the system still runs.
    pub(super) fn say(self, voice: Voice, line: impl Display) {
        let Voice { name, colour } = voice;
        let mut out = io::stdout().lock();
        let _ = match self.is_coloured {
            true => writeln!(out, "{colour}{name:<7} |{RESET} {line}"),
            false => writeln!(out, "{name:<7} | {line}"),
        };
        let _ = out.flush();
    }

    /// Prints a text as it is, to be copied from.
    pub(super) fn show(self, text: &str) {
        let mut out = io::stdout().lock();
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }

    /// Prints a child's lines until it closes its output, and returns the last one.
    pub(super) async fn pass_on(self, voice: Voice, output: impl AsyncRead + Unpin) -> String {
        let mut last = String::new();
        let mut lines = BufReader::new(output).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            last = String::from_utf8_lossy(&line).trim_end().to_owned();
            self.say(voice, &last);
        }
        last
    }
}
