//! Where a unit test keeps files.

use std::{
    fs,
    path::{Path, PathBuf},
};

use uuid::Uuid;

/// A folder of its own, not made yet, and removed at the end.
#[derive(Debug)]
pub(crate) struct TestFolder(PathBuf);

impl TestFolder {
    pub(crate) fn new() -> Self {
        Self(std::env::temp_dir().join(format!("warren-test-{}", Uuid::now_v7())))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for TestFolder {
    fn drop(&mut self) {
        // Left to the system's own cleaning where it cannot be removed.
        let _ = fs::remove_dir_all(&self.0);
    }
}
