//! Log lines: one event a line, key=value pairs, on standard error.

use std::io::Write;

use ::log::LevelFilter;
use env_logger::Builder;

/// What libraries say that is said better elsewhere, or is no business of whoever reads the log: lapin's view of a
/// lost link (the broker room gives the cause), what strangers send that is no HTTP, spans, workers starting, pools.
/// `RUST_LOG` can ask for each by its name.
const QUIET: [(&str, LevelFilter); 5] = [
    ("lapin", LevelFilter::Off),
    ("actix_http", LevelFilter::Off),
    ("actix_server", LevelFilter::Warn),
    ("hyper_util", LevelFilter::Warn),
    ("tracing", LevelFilter::Warn),
];

/// Starts logging for the process; `RUST_LOG` chooses what is logged (`info` where it is unset or empty).
///
/// A panic is logged too, once, with its place; the guardian's restart line names its consequence.
pub fn init(service: &'static str) {
    let asked = std::env::var("RUST_LOG").ok().filter(|asked| !asked.trim().is_empty());
    let mut builder = Builder::new();
    for (library, level) in QUIET {
        builder.filter_module(library, level);
    }
    let started = builder
        .parse_filters(asked.as_deref().unwrap_or("info"))
        .format(move |out, record| {
            let at = out.timestamp_millis();
            writeln!(
                out,
                "{at} {level:<5} {service} {target}: {message}",
                level = record.level(),
                // In full, because it is what `RUST_LOG` filters by.
                target = record.target(),
                message = record.args(),
            )
        })
        .try_init();
    if started.is_ok() {
        std::panic::set_hook(Box::new(|panic| {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic_message(panic.payload());
            ::log::error!(target: "panic", "event=panic place={place} message={message:?}");
        }));
    }
}

/// Returns the text of a panic's payload.
pub fn panic_message(payload: &(dyn std::any::Any + Send)) -> String {
    payload
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
