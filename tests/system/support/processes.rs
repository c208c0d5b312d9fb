//! Finds the processes that a test has left behind.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// The living processes that were given this path in their environment or as an argument, as `id command`.
pub fn processes_of(folder: &Path) -> Vec<String> {
    let folder = folder.as_os_str().as_bytes();
    let entries = fs::read_dir("/proc").expect("Linux").flatten();

    entries
        .filter(|entry| {
            let names_it = |file| {
                let text = fs::read(entry.path().join(file)).unwrap_or_default();
                text.windows(folder.len()).any(|window| window == folder)
            };
            names_it("environ") || names_it("cmdline")
        })
        .map(|entry| {
            let command = fs::read(entry.path().join("cmdline")).unwrap_or_default();
            format!(
                "{} {}",
                entry.file_name().display(),
                String::from_utf8_lossy(&command).replace('\0', " ")
            )
        })
        .collect()
}
