use std::{
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use super::Bounds;

/// How long a journal may be another's before it is given up.
const LOCK_DEADLINE: Duration = Duration::from_secs(1);

/// Where the segments are.
#[derive(Clone)]
pub(super) enum Place {
    /// Files in this folder, by their numbers.
    Folder(PathBuf),
    /// In memory, oldest first.
    Memory(Arc<Mutex<VecDeque<Vec<u8>>>>),
}

/// The segments, as their writer sees them.
pub(super) struct Segments {
    place: Place,
    bounds: Bounds,
    /// The number of the newest.
    newest: u64,
    /// Its length in bytes.
    length: u64,
    file: Option<File>,
    /// Held as long as the segments are written.
    _locked: Option<File>,
}

impl Segments {
    /// Opens what is there, or begins in memory.
    pub(super) fn open(name: &str, folder: Option<&Path>, bounds: Bounds) -> (Self, Place) {
        let memory = || Place::Memory(Arc::default());
        let mut locked = None;
        let place = folder.map_or_else(memory, |folder| match lock_folder(folder) {
            Ok(lock) => {
                locked = Some(lock);
                Place::Folder(folder.to_owned())
            }
            Err(error) => {
                log::warn!(
                    "event=journal_in_memory journal={name} folder={:?} error={:?}",
                    folder.display().to_string(),
                    error.to_string(),
                );
                memory()
            }
        });
        let newest = match &place {
            Place::Folder(folder) => numbers(folder).unwrap_or_default().last().copied().unwrap_or(1),
            Place::Memory(_) => 1,
        };
        (Self { place: place.clone(), bounds, newest, length: 0, file: None, _locked: locked }, place)
    }

    /// Appends whole lines.
    pub(super) fn append(&mut self, lines: &[u8]) -> io::Result<()> {
        match self.place.clone() {
            Place::Memory(segments) => {
                let mut segments = lock(&segments);
                if segments.back().is_none_or(|newest| newest.len() as u64 >= self.bounds.segment) {
                    segments.push_back(Vec::new());
                }
                if segments.len() > self.bounds.segments {
                    segments.pop_front();
                }
                if let Some(newest) = segments.back_mut() {
                    newest.extend_from_slice(lines);
                }
                Ok(())
            }
            Place::Folder(folder) => self.append_to_file(&folder, lines),
        }
    }

    fn append_to_file(&mut self, folder: &Path, lines: &[u8]) -> io::Result<()> {
        // About a microsecond; a disk that cannot be asked shows itself at the write.
        if let Ok(disk) = rustix::fs::statvfs(folder)
            && disk.f_bavail.saturating_mul(disk.f_frsize) < self.bounds.reserve
        {
            return Err(io::ErrorKind::StorageFull.into());
        }
        if self.file.is_some() && self.length >= self.bounds.segment {
            self.newest += 1;
            self.file = None;
            remove_oldest(folder, self.bounds.segments - 1)?;
        }
        if self.file.is_none() {
            let (file, length) = open(&folder.join(file_name(self.newest)))?;
            (self.file, self.length) = (Some(file), length);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        let written = file.write_all(lines);
        match written {
            Ok(()) => self.length += lines.len() as u64,
            // Half a line may be there: opening the file anew ends it.
            Err(_) => self.file = None,
        }
        written
    }
}

/// Makes the folder and locks it, so that no two processes write into one journal. Waits a moment for one that is about to
/// end.
fn lock_folder(folder: &Path) -> io::Result<File> {
    fs::create_dir_all(folder)?;
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("lock"))?;
    let end = Instant::now() + LOCK_DEADLINE;
    loop {
        match rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(lock),
            Err(error) if Instant::now() >= end => return Err(error.into()),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// Opens a segment for appending; where it ends with half a line, because a process ended while it wrote, ends that.
fn open(path: &Path) -> io::Result<(File, u64)> {
    let mut file = OpenOptions::new().create(true).read(true).append(true).open(path)?;
    let mut length = file.seek(SeekFrom::End(0))?;
    if length > 0 {
        let mut last = [0];
        file.seek(SeekFrom::End(-1))?;
        file.read_exact(&mut last)?;
        if last != *b"\n" {
            file.write_all(b"\n")?;
            length += 1;
        }
    }
    Ok((file, length))
}

fn remove_oldest(folder: &Path, kept: usize) -> io::Result<()> {
    let numbers = numbers(folder)?;
    let surplus = numbers.len().saturating_sub(kept);
    for number in &numbers[..surplus] {
        fs::remove_file(folder.join(file_name(*number)))?;
    }
    Ok(())
}

/// The numbers of the segments, oldest first. What else is in the folder is not ours.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut numbers = Vec::new();
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let number = name.to_str().and_then(|name| name.strip_suffix(".jsonl")?.parse().ok());
        // A name such as `5.jsonl` reads as a number too, and no segment is found by it.
        numbers.extend(number.filter(|number| name == *file_name(*number)));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

fn file_name(number: u64) -> String {
    format!("{number:08}.jsonl")
}

impl Place {
    /// The names by which [`read`](Self::read) finds the segments, newest first.
    pub(super) fn names(&self) -> io::Result<Vec<u64>> {
        let mut names = match self {
            Self::Folder(folder) => numbers(folder)?,
            Self::Memory(segments) => (0..lock(segments).len() as u64).collect(),
        };
        names.reverse();
        Ok(names)
    }

    /// Reads a segment; `None` where it has gone meanwhile.
    pub(super) fn read(&self, name: u64) -> io::Result<Option<Vec<u8>>> {
        match self {
            Self::Folder(folder) => match fs::read(folder.join(file_name(name))) {
                Ok(bytes) => Ok(Some(bytes)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
                Err(error) => Err(error),
            },
            Self::Memory(segments) => {
                Ok(usize::try_from(name).ok().and_then(|index| lock(segments).get(index).cloned()))
            }
        }
    }
}

fn lock(segments: &Mutex<VecDeque<Vec<u8>>>) -> MutexGuard<'_, VecDeque<Vec<u8>>> {
    // A panic while the lock is held leaves whole values behind.
    segments.lock().unwrap_or_else(PoisonError::into_inner)
}
