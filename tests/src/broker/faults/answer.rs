//! What the broker says to an order.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Fired;

/// The answer to one order, one line of JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// Whether it was carried out.
    pub ok: bool,
    /// Why not, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// The id of the rule that was added.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<u64>,
    /// On how many connections, consumers, channels, queues or rules it had an effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub affected: Option<u64>,
    /// How the broker is. Its `rules` are what [`super::Rules::fired`] said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<Value>,
}

impl Answer {
    /// It was done.
    pub fn done() -> Self {
        Self { ok: true, ..Self::default() }
    }

    /// It was done, to so many.
    pub fn did(affected: u64) -> Self {
        Self { affected: Some(affected), ..Self::done() }
    }

    /// The rule was added, or not for this reason.
    pub fn added(result: Result<u64, String>) -> Self {
        match result {
            Ok(id) => Self { rule: Some(id), ..Self::done() },
            Err(error) => Self::refused(error),
        }
    }

    /// It was not done.
    pub fn refused(error: impl Into<String>) -> Self {
        Self { error: Some(error.into()), ..Self::default() }
    }

    /// How the broker is: these parts, and its rules.
    pub fn status(rules: &[Fired], parts: Value) -> Self {
        let mut status = parts;
        status["rules"] = serde_json::json!(rules);
        Self { status: Some(status), ..Self::done() }
    }
}
