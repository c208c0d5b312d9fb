//! What the network is like at the moment.

use std::fmt;
use std::time::Duration;

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Direction {
    /// From the one who connected to the one who listens behind the proxy.
    ToServer,
    /// Back.
    ToClient,
}

/// Both ways.
pub const BOTH: &[Direction] = &[Direction::ToServer, Direction::ToClient];

/// Whether bytes get through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Flow {
    #[default]
    Carried,
    /// They wait, ends and resets as well.
    Held,
    /// They are thrown away, ends and resets as well.
    Lost,
}

/// One direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Way {
    pub(super) latency: Duration,
    pub(super) jitter: Duration,
    /// Of each connection.
    pub(super) bytes_per_s: Option<u64>,
    pub(super) flow: Flow,
}

/// After so many more bytes the connection that carries the last of them is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CutAfter {
    pub(super) direction: Direction,
    pub(super) bytes: u64,
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct State {
    ways: [Way; 2],
    pub(super) is_refusing: bool,
    pub(super) cut_after: Option<CutAfter>,
    /// How often all connections were ended so far, by FIN and by RST. One lives as long as these stay the same.
    pub(super) cuts: u64,
    pub(super) resets: u64,
    half_closes: [u64; 2],
}

impl State {
    pub(super) fn way(&self, direction: Direction) -> &Way {
        &self.ways[direction as usize]
    }

    pub(super) fn way_mut(&mut self, direction: Direction) -> &mut Way {
        &mut self.ways[direction as usize]
    }

    /// How often this direction was ended on all connections.
    pub(super) fn half_closes(&self, direction: Direction) -> u64 {
        self.half_closes[direction as usize]
    }

    pub(super) fn half_close(&mut self, direction: Direction) {
        self.half_closes[direction as usize] += 1;
    }

    /// Ends every fault; connections that it ended stay so.
    pub(super) fn normalise(&mut self) {
        self.ways = Default::default();
        self.is_refusing = false;
        self.cut_after = None;
    }

    /// Takes so many bytes off what may pass before the cut; says how many of them pass, if that is the end.
    pub(super) fn spend(&mut self, direction: Direction, bytes: usize) -> Option<usize> {
        let cut = self.cut_after.as_mut().filter(|cut| cut.direction == direction)?;
        if cut.bytes > bytes as u64 {
            cut.bytes -= bytes as u64;
            return None;
        }
        let pass = cut.bytes as usize;
        self.cut_after = None;
        Some(pass)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        for (direction, name) in [(Direction::ToServer, "to-server"), (Direction::ToClient, "to-client")] {
            let Way { latency, jitter, bytes_per_s, flow } = *self.way(direction);
            if !latency.is_zero() || !jitter.is_zero() {
                parts.push(format!("{name} takes {latency:?} and up to {jitter:?} more"));
            }
            if let Some(bytes) = bytes_per_s {
                parts.push(format!("{name} carries {bytes} bytes/s"));
            }
            match flow {
                Flow::Carried => {}
                Flow::Held => parts.push(format!("{name} is held")),
                Flow::Lost => parts.push(format!("{name} is lost")),
            }
            if let Some(CutAfter { bytes, .. }) = self.cut_after.filter(|cut| cut.direction == direction) {
                parts.push(format!("{name} is cut after {bytes} bytes"));
            }
        }
        if self.is_refusing {
            parts.push("connections are refused".into());
        }
        match parts.is_empty() {
            true => f.write_str("normal"),
            false => f.write_str(&parts.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_at_the_byte_and_happens_once() {
        let mut state = State {
            cut_after: Some(CutAfter { direction: Direction::ToServer, bytes: 10 }),
            ..State::default()
        };

        assert_eq!(state.spend(Direction::ToClient, 100), None);
        assert_eq!(state.spend(Direction::ToServer, 4), None);
        assert_eq!(state.spend(Direction::ToServer, 100), Some(6));
        assert_eq!(state.spend(Direction::ToServer, 100), None);
    }

    #[test]
    fn a_cut_after_no_bytes_is_at_the_next() {
        let mut state = State {
            cut_after: Some(CutAfter { direction: Direction::ToServer, bytes: 0 }),
            ..State::default()
        };

        assert_eq!(state.spend(Direction::ToServer, 1), Some(0));
    }

    #[test]
    fn a_state_is_told_in_words() {
        let mut state = State::default();
        assert_eq!(state.to_string(), "normal");

        state.way_mut(Direction::ToServer).latency = Duration::from_millis(200);
        state.way_mut(Direction::ToClient).flow = Flow::Held;
        state.is_refusing = true;
        assert_eq!(
            state.to_string(),
            "to-server takes 200ms and up to 0ns more, to-client is held, connections are refused"
        );

        state.normalise();
        assert_eq!(state, State::default());
    }
}
