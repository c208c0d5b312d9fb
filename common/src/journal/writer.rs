use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread::sleep,
    time::Duration,
};

use serde::Serialize;

use super::{pulse::Pulse, segments::Segments};

/// How long the thread lets entries gather. Whoever records one meanwhile need not wake it.
const GATHER: Duration = Duration::from_millis(1);

/// Writes what comes until nobody can record any more; `taken` is told of how
/// many entries no longer wait, and whether they were written.
pub(super) fn write_until_closed<T: Serialize>(
    name: &str,
    incoming: &mpsc::Receiver<Vec<T>>,
    mut segments: Segments,
    mut pulse: Option<Pulse>,
    taken: impl Fn(u64, bool),
) {
    let (mut lines, mut works) = (Vec::new(), true);
    while let Some(first) = next(incoming, pulse.as_mut()) {
        sleep(GATHER);
        let mut count = 0;
        for entry in std::iter::once(first).chain(incoming.try_iter()).flatten() {
            count += 1;
            let start = lines.len();
            match serde_json::to_writer(&mut lines, &entry) {
                Ok(()) => lines.push(b'\n'),
                Err(_) => lines.truncate(start),
            }
        }
        let written = segments.append(&lines);
        match &written {
            Ok(()) if !works => log::info!("event=journal_written_again journal={name}"),
            Err(error) if works => log::warn!(
                "event=journal_not_written journal={name} meaning=\"what happens is not remembered\" error={:?}",
                error.to_string(),
            ),
            _ => {}
        }
        works = written.is_ok();
        taken(count, works);
        lines.clear();
        // A burst must not keep its memory.
        lines.shrink_to(64 * 1024);
    }
}

/// Waits for what is to be written, and gives signs of life meanwhile; `None` once nobody can record any more.
fn next<T>(incoming: &mpsc::Receiver<T>, pulse: Option<&mut Pulse>) -> Option<T> {
    let Some(pulse) = pulse else { return incoming.recv().ok() };
    loop {
        match incoming.recv_timeout(pulse.beat()) {
            Ok(entries) => return Some(entries),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}
