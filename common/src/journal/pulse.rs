use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    time::{Duration, Instant, SystemTime},
};

/// How often it beats.
const BEAT: Duration = Duration::from_secs(1);

/// The name of the file, which is empty: only when it was last changed is of use.
const FILE: &str = "alive";

/// The sign of life of whoever writes a journal: a file beside the segments that is touched every second.
///
/// A disk that cannot do that costs only the sign; the segments say what is wrong with the disk.
pub(super) struct Pulse {
    path: PathBuf,
    file: Option<File>,
    next: Instant,
}

impl Pulse {
    /// Begins to beat in a journal's folder, and returns when the one before was last alive, where it says so.
    pub(super) fn begin(folder: &Path) -> (Self, Option<SystemTime>) {
        let path = folder.join(FILE);
        let last = path.metadata().and_then(|file| file.modified()).ok();
        (Self { path, file: None, next: Instant::now() }, last)
    }

    /// Gives the sign where it is due, and returns how long it is until the next one.
    pub(super) fn beat(&mut self) -> Duration {
        let now = Instant::now();
        if now >= self.next {
            self.touch();
            self.next = now + BEAT;
        }
        self.next.saturating_duration_since(now)
    }

    fn touch(&mut self) {
        if self.file.is_none() {
            self.file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path).ok();
        }
        if let Some(file) = &self.file
            && file.set_modified(SystemTime::now()).is_err()
        {
            self.file = None;
        }
    }
}
