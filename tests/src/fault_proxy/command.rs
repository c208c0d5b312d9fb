//! One line that a person types to change what the proxy does.

use std::time::Duration;

use clap::Parser;

use super::{BOTH, Direction, FaultProxy};
use crate::duration;

/// A fault, as the proxy hears it on standard input or by --fault.
#[derive(Clone, Debug, Parser, PartialEq, Eq)]
#[command(
    multicall = true,
    disable_help_flag = true,
    help_template = "{subcommands}",
    subcommand_help_heading = "Faults",
    override_usage = "<FAULT>"
)]
pub(super) enum Command {
    /// Let everything arrive later, such as `delay 200ms --jitter 50ms`
    Delay {
        #[arg(value_parser = duration::parse)]
        latency: Duration,

        /// And by a random part of this more
        #[arg(long, value_parser = duration::parse, default_value = "0ms")]
        jitter: Duration,

        /// In one direction alone
        #[arg(long)]
        only: Option<Direction>,
    },
    /// Carry so many bytes a second of each connection, such as `throttle 10000`
    Throttle {
        #[arg(value_parser = clap::value_parser!(u64).range(1..))]
        bytes_per_s: u64,

        /// In one direction alone
        #[arg(long)]
        only: Option<Direction>,
    },
    /// Hold everything back until `normal`, such as `hold --only to-client`
    Hold {
        /// In one direction alone
        #[arg(long)]
        only: Option<Direction>,
    },
    /// Throw everything away, without a FIN, such as `lose`
    Lose {
        /// In one direction alone
        #[arg(long)]
        only: Option<Direction>,
    },
    /// Close all connections
    Cut,
    /// Reset all connections, by RST
    Reset,
    /// Close all connections and refuse new ones until `normal`
    Refuse,
    /// End one direction of all connections, by FIN, such as `half-close to-client`
    HalfClose { direction: Direction },
    /// Close a connection after so many more bytes, such as `cut-after to-server 1000`
    CutAfter { direction: Direction, bytes: u64 },
    /// End every fault
    Normal,
    /// Say what is wrong at the moment
    Status,
}

impl Command {
    /// Reads a line. The error says what is possible.
    pub(super) fn parse_line(line: &str) -> Result<Self, String> {
        Self::try_parse_from(line.split_whitespace()).map_err(|error| error.to_string())
    }

    /// Does it, and says what is wrong now.
    pub(super) fn apply(self, proxy: &FaultProxy) -> String {
        match self {
            Self::Delay { latency, jitter, only } => proxy.delay(&directions(only), latency, jitter),
            Self::Throttle { bytes_per_s, only } => proxy.throttle(&directions(only), bytes_per_s),
            Self::Hold { only } => proxy.hold(&directions(only)),
            Self::Lose { only } => proxy.lose(&directions(only)),
            Self::Cut => proxy.cut(),
            Self::Reset => proxy.reset(),
            Self::Refuse => proxy.refuse(),
            Self::HalfClose { direction } => proxy.half_close(direction),
            Self::CutAfter { direction, bytes } => proxy.cut_after(direction, bytes),
            Self::Normal => proxy.normal(),
            Self::Status => {}
        }
        proxy.describe()
    }
}

fn directions(only: Option<Direction>) -> Vec<Direction> {
    only.map_or_else(|| BOTH.to_vec(), |direction| vec![direction])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_fault() {
        let ms = Duration::from_millis;
        for (line, command) in [
            ("delay 200ms", Command::Delay { latency: ms(200), jitter: ms(0), only: None }),
            (
                " delay 1s --jitter 50ms --only to-client ",
                Command::Delay { latency: ms(1_000), jitter: ms(50), only: Some(Direction::ToClient) },
            ),
            ("throttle 10000", Command::Throttle { bytes_per_s: 10_000, only: None }),
            ("hold", Command::Hold { only: None }),
            ("lose --only to-server", Command::Lose { only: Some(Direction::ToServer) }),
            ("cut", Command::Cut),
            ("reset", Command::Reset),
            ("refuse", Command::Refuse),
            ("half-close to-client", Command::HalfClose { direction: Direction::ToClient }),
            ("cut-after to-server 1000", Command::CutAfter { direction: Direction::ToServer, bytes: 1_000 }),
            ("normal", Command::Normal),
            ("status", Command::Status),
        ] {
            assert_eq!(Command::parse_line(line), Ok(command), "{line}");
        }
    }

    #[test]
    fn a_line_that_is_none_is_answered_with_what_is_wrong() {
        for (line, part) in [
            ("dealy 1s", "dealy"),
            ("delay 1", "is no duration"),
            ("half-close sideways", "to-server"),
            ("throttle 0", "0"),
            ("", "half-close"),
            ("help", "half-close"),
        ] {
            let error = Command::parse_line(line).expect_err(line);
            assert!(error.contains(part), "{line}: {error}");
        }
    }
}
