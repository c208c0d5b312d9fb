use std::fmt;

use serde::Serialize;

/// Why an actor ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "kind", content = "message", rename_all = "lowercase")]
pub enum Exit {
    /// It stopped without giving a reason.
    Stopped,
    /// Something outside the process went away; expected in the long run, never escalates.
    Lost(String),
    /// It could not go on, or could not be built.
    Failed(String),
    /// It panicked, with this message.
    Panicked(String),
}

impl Exit {
    /// Whether this counts towards the restart window.
    pub fn is_failure(&self) -> bool {
        !matches!(self, Self::Lost(_))
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stopped => f.write_str("stopped"),
            Self::Lost(message) => write!(f, "lost: {message}"),
            Self::Failed(message) => write!(f, "failed: {message}"),
            Self::Panicked(message) => write!(f, "panicked: {message}"),
        }
    }
}
