//! Reads configuration from the environment, once, and reports every mistake in one message.
//!
//! Each room has a `<Room>Config` with a `from_env(&mut Environment)`. A mistake is noted and the default
//! stands in for it, so that one start shows all of them; [`Environment::finish`] then refuses to go on.

use std::{collections::HashMap, fmt, str::FromStr, time::Duration};

/// The environment as it was at start-up, and the mistakes found in it so far.
pub struct Environment {
    variables: HashMap<String, String>,
    mistakes: Vec<String>,
}

impl Environment {
    /// Takes a copy of the process's environment.
    pub fn from_process() -> Self {
        Self::from_pairs(std::env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.to_string_lossy().into_owned()))
        }))
    }

    /// Takes the given pairs instead of the process's environment, for tests.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        Self { variables: pairs.into_iter().collect(), mistakes: Vec::new() }
    }

    /// Returns the variable as text, or `default` where it is unset or empty.
    pub fn text(&mut self, name: &str, default: &str) -> String {
        self.get(name).unwrap_or(default).to_owned()
    }

    /// Parses the variable; `expected` completes the sentence "NAME must be …".
    pub fn parse<T: FromStr>(&mut self, name: &str, default: T, expected: &str) -> T {
        let Some(raw) = self.get(name) else {
            return default;
        };
        match raw.parse() {
            Ok(value) => value,
            Err(_) => {
                let mistake = format!("{name} must be {expected}, not {raw:?}");
                self.mistakes.push(mistake);
                default
            }
        }
    }

    /// Parses a duration given in whole milliseconds.
    pub fn millis(&mut self, name: &str, default: Duration) -> Duration {
        let default = u64::try_from(default.as_millis()).unwrap_or(u64::MAX);
        Duration::from_millis(self.parse(name, default, "a whole number of milliseconds"))
    }

    /// Parses `true` or `false`.
    pub fn flag(&mut self, name: &str, default: bool) -> bool {
        self.parse(name, default, "true or false")
    }

    /// Notes a mistake that only the caller can see, such as two variables that exclude each other.
    pub fn mistake(&mut self, message: impl Into<String>) {
        self.mistakes.push(message.into());
    }

    /// Returns the mistakes so far, and forgets them, for whoever reports them in a way of its own.
    pub fn take_mistakes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.mistakes)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// Lists every mistake that was found.
    pub fn finish(self) -> Result<(), ConfigError> {
        if self.mistakes.is_empty() { Ok(()) } else { Err(ConfigError(self.mistakes)) }
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
    }
}

/// Every mistake in the environment.
#[derive(Debug)]
pub struct ConfigError(Vec<String>);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.join("; "))
    }
}

impl std::error::Error for ConfigError {}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(pairs: &[(&str, &str)]) -> Environment {
        Environment::from_pairs(pairs.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())))
    }

    #[test]
    fn unset_and_empty_variables_take_the_default() {
        let mut env = environment(&[("EMPTY", " ")]);

        assert_eq!(env.text("EMPTY", "x"), "x");
        assert_eq!(env.parse("PORT", 3001_u16, "a port"), 3001);
        assert!(env.finish().is_ok());
    }

    #[test]
    fn all_mistakes_are_reported_in_one_message() {
        let mut env = environment(&[("PORT", "high"), ("WAIT_MS", "-1"), ("DEMO", "maybe")]);

        env.parse("PORT", 3001_u16, "a port from 0 to 65535");
        env.millis("WAIT_MS", Duration::from_secs(1));
        env.flag("DEMO", false);

        let message = env.finish().expect_err("three mistakes were made").to_string();
        assert!(message.contains("PORT must be a port from 0 to 65535, not \"high\""), "{message}");
        assert!(message.contains("WAIT_MS") && message.contains("DEMO"), "{message}");
    }
}
