use std::str::FromStr;

use super::filter;
use crate::config::Environment;

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// For people: `time LEVEL service target: message`.
    #[default]
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl FromStr for LogFormat {
    type Err = ();

    fn from_str(raw: &str) -> Result<Self, ()> {
        match raw {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err(()),
        }
    }
}

/// How a process logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogConfig {
    pub(super) format: LogFormat,
    pub(super) filter: String,
}

impl LogConfig {
    /// Reads `LOG_FORMAT` and `RUST_LOG`.
    pub fn from_env(env: &mut Environment) -> Self {
        let format = env.parse("LOG_FORMAT", LogFormat::default(), "text or json");
        let mut filter = env.text("RUST_LOG", Self::default().filter.as_str());
        if let Err(error) = filter::check(&filter) {
            env.mistake(format!("RUST_LOG: {error}"));
            filter = Self::default().filter;
        }
        Self { format, filter }
    }
}

impl Default for LogConfig {
    fn default() -> Self {
        Self { format: LogFormat::default(), filter: "info".to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_reported_with_all_others() {
        let pairs = [("LOG_FORMAT", "xml"), ("RUST_LOG", "loud")];
        let mut env = Environment::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())));

        assert_eq!(LogConfig::from_env(&mut env), LogConfig::default());

        let message = env.finish().expect_err("there are two mistakes").to_string();
        assert!(message.contains("LOG_FORMAT must be text or json, not \"xml\""), "{message}");
        assert!(message.contains("RUST_LOG: \"loud\" is no level"), "{message}");
    }
}
