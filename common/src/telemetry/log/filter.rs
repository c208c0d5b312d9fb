//! What is logged: a filter in the language of `RUST_LOG`.

use std::fmt;

use env_logger::Builder;
use log::LevelFilter;

/// What libraries say that is said better elsewhere, or is no business of whoever reads the log: lapin's view of a
/// lost link (the broker room gives the cause), what strangers send that is no HTTP, spans, workers starting, pools.
/// A filter can ask for each by its name.
const QUIET: [(&str, LevelFilter); 5] = [
    ("lapin", LevelFilter::Off),
    ("actix_http", LevelFilter::Off),
    ("actix_server", LevelFilter::Warn),
    ("hyper_util", LevelFilter::Warn),
    ("tracing", LevelFilter::Warn),
];

/// Puts `filter` into a builder, on top of what is quiet by itself.
pub(super) fn apply(builder: &mut Builder, filter: &str) {
    for (library, level) in QUIET {
        builder.filter_module(library, level);
    }
    builder.parse_filters(filter);
}

/// Checks that a filter can be read to its end. `RUST_LOG` takes a lone word for a module and falls silent about all
/// else; who mistypes `debug` does not mean that, so a module needs its level here.
///
/// # Errors
/// Names the part that is wrong.
pub(super) fn check(filter: &str) -> Result<(), InvalidFilter> {
    let (parts, text) = filter.split_once('/').unwrap_or((filter, ""));
    if text.contains('/') {
        return Err(InvalidFilter::Slashes);
    }
    let mut parts = parts.split(',').map(str::trim).filter(|part| !part.is_empty()).peekable();
    if parts.peek().is_none() {
        return Err(InvalidFilter::Empty);
    }
    for part in parts {
        let (module, level) = match part.split_once('=') {
            Some((module, level)) => (Some(module.trim()), level.trim()),
            None => (None, part),
        };
        if level.parse::<LevelFilter>().is_err() {
            return Err(InvalidFilter::Level(level.to_owned()));
        }
        if module.is_some_and(|module| module.is_empty() || module.contains(char::is_whitespace)) {
            return Err(InvalidFilter::Module(part.to_owned()));
        }
    }
    Ok(())
}

/// Why a filter cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InvalidFilter {
    /// It says nothing.
    Empty,
    /// It has more than one `/`, after which stands what a message must contain.
    Slashes,
    /// This is none of the levels.
    Level(String),
    /// This names no module.
    Module(String),
}

impl fmt::Display for InvalidFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const EXAMPLE: &str = "such as debug, or info,common::broker=debug";
        match self {
            Self::Empty => write!(f, "a filter is a level, {EXAMPLE}"),
            Self::Slashes => {
                f.write_str("a filter has one '/' at most, and after it a text that messages contain")
            }
            Self::Level(level) => {
                write!(
                    f,
                    "{level:?} is no level; there are off, error, warn, info, debug and trace, {EXAMPLE}"
                )
            }
            Self::Module(part) => write!(f, "{part:?} names no module, {EXAMPLE}"),
        }
    }
}

impl std::error::Error for InvalidFilter {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_of_everything_and_of_modules_are_read() {
        for filter in
            ["info", "DEBUG", "off", "info,common::broker=debug", " warn , users=trace ", "debug/order"]
        {
            assert_eq!(check(filter), Ok(()), "{filter}");
        }
    }

    #[test]
    fn what_would_make_the_log_fall_silent_by_mistake_is_refused() {
        for filter in
            ["", ",", "loud", "info,users", "users=", "users=loud", "=debug", "a b=debug", "info/a/b"]
        {
            assert!(check(filter).is_err(), "{filter}");
        }
    }
}
