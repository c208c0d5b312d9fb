//! Whether a node will find its queues again.

use std::fs;
use std::path::{Path, PathBuf};

/// Names one of these queues that the node in this folder would not find again after a kill.
///
/// RabbitMQ keeps the names of new quorum queues in memory for three seconds before it writes them to `names.dets`. Killed
/// within these, it comes back with a queue that never elects a leader and that nobody can declare or delete any more
/// (seen with 3.10.8).
pub fn unregistered<'a>(folder: &Path, queues: &[&'a str]) -> Option<&'a str> {
    let names = fs::read(find(folder, "names.dets")?).unwrap_or_default();
    let is_there = |queue: &str| names.windows(queue.len()).any(|window| window == queue.as_bytes());
    queues.iter().copied().find(|queue| !is_there(queue))
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.ends_with(name).then_some(path),
    })
}
