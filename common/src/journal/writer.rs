use std::{sync::mpsc, thread::sleep, time::Duration};

use serde::Serialize;

use super::segments::Segments;

/// How long the thread lets entries gather. Whoever records one meanwhile need not wake it.
const GATHER: Duration = Duration::from_millis(1);

/// Writes what comes until nobody can record any more; `taken` is told of how
/// many entries no longer wait, and whether they were written.
pub(super) fn write_until_closed<T: Serialize>(
    name: &str,
    incoming: &mpsc::Receiver<Vec<T>>,
    mut segments: Segments,
    taken: impl Fn(u64, bool),
) {
    let (mut lines, mut works) = (Vec::new(), true);
    while let Ok(first) = incoming.recv() {
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
