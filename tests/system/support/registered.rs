use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use warren::harness::{Folder, eventually};

/// What users and orders declare for themselves.
const QUEUES: [&str; 4] =
    ["users.order-created", "users.order-cancelled", "orders.user-created", "events.dead"];

/// Waits until the private node in this folder will find its queues again after a kill, where it is RabbitMQ.
///
/// RabbitMQ keeps the names of new quorum queues in memory for three seconds before it writes them to `names.dets`. Killed
/// within these, it comes back with a queue that never elects a leader and that nobody can declare or delete any more
/// (seen with 3.10.8). That is no fault of ours and no story of these tests.
///
/// # Panics
///
/// When they are not written within 30 s.
pub async fn queues_are_registered(folder: &Folder) {
    eventually(Duration::from_secs(30), "RabbitMQ has written the names of its queues", async || {
        let Some(file) = find(folder.path(), "names.dets") else { return Ok(()) };
        let names = fs::read(&file).map_err(|error| error.to_string())?;
        let is_there = |queue: &&str| names.windows(queue.len()).any(|window| window == queue.as_bytes());
        match QUEUES.iter().find(|queue| !is_there(queue)) {
            None => Ok(()),
            Some(missing) => Err(format!("{missing} is not in {}", file.display())),
        }
    })
    .await;
}

fn find(folder: &Path, name: &str) -> Option<PathBuf> {
    fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path()).find_map(|path| match path.is_dir() {
        true => find(&path, name),
        false => path.ends_with(name).then_some(path),
    })
}
