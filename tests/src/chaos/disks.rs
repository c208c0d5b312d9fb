//! Small disks that outlive the services on them, and can become full.
//!
//! They are mounted in a namespace of one process that does nothing but hold it. The services enter that namespace when they
//! start, by a script that stands in for the binary, so that their disks stay when they are killed. Nothing is left behind
//! when the holder ends, which it does with this process, whose end of a pipe it reads.

use std::fs::{self, Permissions};
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Mounts each folder that it is given.
const HOLDER: &str = r#"
for folder; do
    mkdir -p "$folder" && mount -t tmpfs -o size=8g warren "$folder" || exit
done
echo ready && exec cat
"#;

/// Stands in for the binary `warren`.
const WRAPPER: &str = r#"#!/bin/sh
exec nsenter --target "$WARREN_DISKS" --user --mount --preserve-credentials -- "$WARREN" "$@"
"#;

/// More than any run needs.
const ROOM: &str = "8g";

/// What a disk that is full has left: not enough for anything.
const SLACK: u64 = 16 * 1024;

/// Disks in a namespace of their own.
pub(super) struct Disks {
    holder: Child,
}

impl Disks {
    /// Mounts a disk on each of these folders, which only the processes of the wrapper see.
    ///
    /// # Errors
    ///
    /// This machine does not let us mount anything, not even in a namespace of our own.
    pub fn mount(folders: &[&Path]) -> io::Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["--mount", "--map-root-user", "sh", "-c", HOLDER, "sh"])
            .args(folders)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()?;
        let mut said = String::new();
        if let Some(output) = holder.stdout.take() {
            BufReader::new(output).read_line(&mut said)?;
        }
        let disks = Self { holder };
        match said.trim() {
            "ready" => Ok(disks),
            _ => Err(io::Error::new(io::ErrorKind::PermissionDenied, "this machine lets us mount nothing")),
        }
    }

    /// Writes the script that stands in for the binary on these disks; returns its path.
    ///
    /// # Errors
    ///
    /// `folder` cannot be written.
    pub fn wrapper(folder: &Path) -> io::Result<PathBuf> {
        let wrapper = folder.join("warren.sh");
        fs::write(&wrapper, WRAPPER)?;
        fs::set_permissions(&wrapper, Permissions::from_mode(0o755))?;
        Ok(wrapper)
    }

    /// What [`Disks::wrapper`] wants to know, as `WARREN_DISKS`.
    pub fn namespace(&self) -> String {
        self.holder.id().to_string()
    }

    /// Takes all room from the disk of this folder.
    ///
    /// # Errors
    ///
    /// It cannot be looked at, or not be made smaller.
    pub fn fill(&self, folder: &Path) -> io::Result<()> {
        let mut result = Ok(());
        // What is used may grow before it is bounded.
        for _ in 0..20 {
            let used = self.used(folder)?;
            result = self.resize(folder, &(used + SLACK).to_string());
            if result.is_ok() {
                break;
            }
        }
        result
    }

    /// Gives it back.
    ///
    /// # Errors
    ///
    /// The disk cannot be made larger.
    pub fn clear(&self, folder: &Path) -> io::Result<()> {
        self.resize(folder, ROOM)
    }

    /// Copies what is on the disk of this folder into the folder as everybody sees it, because the disk ends with us.
    ///
    /// # Errors
    ///
    /// The disk cannot be read, or the folder not be written.
    pub fn keep(&self, folder: &Path) -> io::Result<()> {
        copy(&self.seen_from_outside(folder), folder)
    }

    fn used(&self, folder: &Path) -> io::Result<u64> {
        let disk = rustix::fs::statvfs(self.seen_from_outside(folder))?;
        Ok((disk.f_blocks - disk.f_bfree) * disk.f_frsize)
    }

    fn seen_from_outside(&self, folder: &Path) -> PathBuf {
        let inside = folder.strip_prefix("/").unwrap_or(folder);
        Path::new("/proc").join(self.namespace()).join("root").join(inside)
    }

    fn resize(&self, folder: &Path, size: &str) -> io::Result<()> {
        let output = Command::new("nsenter")
            .args(["--target", &self.namespace(), "--user", "--mount", "--preserve-credentials", "--"])
            .args(["mount", "-o", &format!("remount,size={size}")])
            .arg(folder)
            .output()?;
        match output.status.success() {
            true => Ok(()),
            false => Err(io::Error::other(String::from_utf8_lossy(&output.stderr).into_owned())),
        }
    }
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (path, copied) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type()? {
            kind if kind.is_dir() => copy(&path, &copied)?,
            kind if kind.is_file() => drop(fs::copy(&path, &copied)?),
            // A socket says nothing to whoever looks later.
            _ => {}
        }
    }
    Ok(())
}

impl Drop for Disks {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::harness::Folder;

    #[test]
    fn a_full_disk_takes_nothing_and_keeps_what_it_has() {
        let folder = Folder::new();
        let (disk, other) = (folder.path().join("one"), folder.path().join("other"));
        let Ok(disks) = Disks::mount(&[&disk, &other]) else {
            println!("this machine lets us mount nothing");
            return;
        };
        let wrapper = Disks::wrapper(folder.path()).expect("the folder is new");
        let write = |to: &Path, bytes: u32| {
            let mut command = Command::new(&wrapper);
            command.env("WARREN", "sh").env("WARREN_DISKS", disks.namespace());
            let status = command
                .args(["-c", r#"head -c "$0" /dev/zero >> "$1/file" 2>/dev/null"#, &bytes.to_string()])
                .arg(to)
                .status();
            status.expect("sh runs").success()
        };

        assert!(write(&disk, 1 << 20));
        disks.fill(&disk).expect("it can be made smaller");
        assert!(!write(&disk, 1 << 20), "it is full");
        assert!(write(&other, 1 << 20), "the other one is not");
        disks.clear(&disk).expect("it can be made larger");
        assert!(write(&disk, 1 << 20));
        assert!(disks.used(&disk).expect("it is there") > 2 << 20);
        assert!(!disk.join("file").exists(), "nothing is seen of it outside");

        disks.keep(&disk).expect("there is room outside");
        drop(disks);
        let kept = fs::metadata(disk.join("file")).expect("it was copied").len();
        assert!(kept > 2 << 20, "{kept} bytes are kept");
    }
}
