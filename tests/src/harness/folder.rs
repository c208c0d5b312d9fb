//! A test's own folder, removed at its end and kept when it failed.

use std::env;
use std::fs;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A fresh folder below the system's folder of temporary files.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    is_left: AtomicBool,
}

impl Folder {
    /// Makes one.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn new() -> Self {
        Self::below(&env::temp_dir())
    }

    /// Makes one in this folder, because temporary files may be in memory, where writing costs nothing.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    pub fn below(parent: &Path) -> Self {
        let name = format!("warren-{}-{}", process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = parent.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("cannot make {}: {error}", path.display()));
        Self { path, is_left: AtomicBool::new(false) }
    }

    /// Leaves its removal to somebody else.
    pub(super) fn keep(self) -> PathBuf {
        let mut folder = ManuallyDrop::new(self);
        std::mem::take(&mut folder.path)
    }

    /// Leaves it where it is, for somebody to look at.
    pub fn leave(&self) {
        self.is_left.store(true, Ordering::Relaxed);
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the test's data is kept in {}", self.path.display());
        } else if !self.is_left.load(Ordering::Relaxed) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }
}
