//! Log lines: one event a line, key=value pairs, on standard error, as text or as JSON.
//!
//! A line that is logged while a request is handled, or a delivery, names its request and its trace, whoever logs it
//! (see [`Origin::scope`]). What is logged can be changed while the process runs ([`set_level`]).

mod config;
mod filter;

mod json;
mod pairs;
mod text;

use std::{
    io::Write,
    sync::{Arc, OnceLock},
};

use ::log::{Level, Log, Metadata, Record};
use arc_swap::ArcSwap;
use env_logger::{Builder, Logger};

use super::trace::Origin;
use json::Line;
use text::Message;

pub use config::{LogConfig, LogFormat};
pub use filter::InvalidFilter;

/// The process's logger, once it logs.
static PROCESS: OnceLock<Process> = OnceLock::new();

/// Starts logging for the process.
///
/// A panic is logged too, once, with its place; the guardian's restart line names its consequence.
pub fn init(service: &'static str, config: &LogConfig) {
    let process = PROCESS.get_or_init(|| Process::new(service, config));
    if ::log::set_logger(process).is_ok() {
        ::log::set_max_level(process.chosen.load().logger.filter());
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic_message(panic.payload());
            ::log::error!(target: "panic", "event=panic place={place} message={message:?}");
        }));
    }
}

/// What is logged now, as [`set_level`] takes it; `off` where nothing was started.
pub fn level() -> String {
    PROCESS.get().map_or_else(|| "off".to_owned(), |process| process.chosen.load().filter.clone())
}

/// Changes what is logged, from now on and until the process ends: a level, such as `debug`, or a filter in the
/// language of `RUST_LOG`, such as `info,common::broker=debug`. The change itself is logged, whatever the level. Returns what
/// was logged before.
///
/// # Errors
/// Says what of `filter` cannot be read; then nothing is changed.
pub fn set_level(filter: &str) -> Result<String, InvalidFilter> {
    let filter = filter.trim();
    filter::check(filter)?;
    let Some(process) = PROCESS.get() else { return Ok(level()) };
    let before = process.choose(filter);
    let notice = build(process.service, process.format, "info");
    let said = format_args!("event=log_level_changed before={before:?} now={filter:?}");
    notice.log(&Record::builder().level(Level::Info).target(module_path!()).args(said).build());
    Ok(before)
}

/// Returns the text of a panic's payload.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

/// Hands each record to what is chosen just now.
struct Process {
    service: &'static str,
    format: LogFormat,
    chosen: ArcSwap<Chosen>,
}

struct Chosen {
    filter: String,
    logger: Logger,
}

impl Process {
    fn new(service: &'static str, LogConfig { format, filter }: &LogConfig) -> Self {
        let logger = build(service, *format, filter);
        Self {
            service,
            format: *format,
            chosen: ArcSwap::from_pointee(Chosen { filter: filter.clone(), logger }),
        }
    }

    /// Chooses another filter; returns the one before.
    fn choose(&self, filter: &str) -> String {
        let logger = build(self.service, self.format, filter);
        // The coarse level of the macros never hides what a logger wants.
        let finest = logger.filter();
        ::log::set_max_level(finest.max(::log::max_level()));
        let before = self.chosen.swap(Arc::new(Chosen { filter: filter.to_owned(), logger }));
        ::log::set_max_level(finest);
        before.filter.clone()
    }
}

impl Log for Process {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        self.chosen.load().logger.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        self.chosen.load().logger.log(record);
    }

    fn flush(&self) {}
}

fn build(service: &'static str, format: LogFormat, filter: &str) -> Logger {
    let mut builder = Builder::new();
    filter::apply(&mut builder, filter);
    builder.format(move |out, record| {
        let time = out.timestamp_millis();
        let (level, target) = (record.level().as_str(), record.target());
        let message = record.args().to_string();
        Origin::with_current(|origin| match format {
            LogFormat::Text => {
                let message = Message { message: &message, origin };
                // The target in full, because it is what the filter goes by.
                writeln!(out, "{time} {level:<5} {service} {target}: {message}")
            }
            LogFormat::Json => {
                let (time, message) = (time.to_string(), &*message);
                Line { time, level, service, target, message, origin }.write_to(out)
            }
        })
    });
    builder.build()
}

#[cfg(test)]
mod tests {
    use log::LevelFilter;

    use super::*;

    #[test]
    fn what_is_quiet_by_itself_stays_so_at_any_level_and_can_be_asked_for() {
        let speaks = |filter: &str, target: &str, level| {
            let logger = build("test", LogFormat::Text, filter);
            logger.enabled(&Metadata::builder().target(target).level(level).build())
        };

        assert!(speaks("trace", "common::relay", Level::Trace));
        assert!(!speaks("trace", "lapin::channel", Level::Error));
        assert!(speaks("info,lapin=debug", "lapin::channel", Level::Debug));
    }

    #[test]
    fn another_filter_holds_at_once_and_the_macros_know() {
        let process = Process::new("test", &LogConfig::default());
        let debug = Metadata::builder().target("common::relay").level(Level::Debug).build();
        assert!(!process.enabled(&debug));

        assert_eq!(process.choose("info,common::relay=debug"), "info");
        assert!(process.enabled(&debug));
        assert_eq!(log::max_level(), LevelFilter::Debug);

        assert_eq!(process.choose("warn"), "info,common::relay=debug");
        assert!(!process.enabled(&debug));
        assert_eq!(log::max_level(), LevelFilter::Warn);
    }

    #[test]
    fn a_level_that_cannot_be_read_changes_nothing() {
        let message = set_level("loud").expect_err("there is no such level").to_string();

        assert!(message.contains("\"loud\" is no level"), "{message}");
    }
}
