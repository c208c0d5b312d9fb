//! A service on a disk that is really small, and one that may really write no more.

use std::fs::{self, File, Permissions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use warren::harness::{Child, Folder, Setup};
use warren::service::Service;

use super::{WARREN, system_of};

/// Stands in for the binary. Where told to, it mounts a small disk on the data folder, or names of ours over the machine's,
/// in a mount namespace of its own that ends with the process, so that nothing is left behind; and it bounds the size of files. A write beyond that bound
/// shall fail like any other instead of ending the process.
const WRAPPER: &str = r#"#!/bin/sh
trap '' XFSZ
[ -z "$WARREN_FILE_BLOCKS" ] || ulimit -S -f "$WARREN_FILE_BLOCKS"
[ -z "$WARREN_DISK_SIZE" ] || {
    mkdir -p "$DATA_DIR"
    exec unshare --mount --map-root-user sh -c '
        mount -t tmpfs -o size="$WARREN_DISK_SIZE" warren "$DATA_DIR" && exec "$0" "$@"
    ' "$WARREN" "$@"
}
[ -z "$WARREN_NAMES" ] || {
    exec unshare --mount --map-root-user sh -c '
        mount --bind "$WARREN_NAMES" /etc/hosts && exec "$0" "$@"
    ' "$WARREN" "$@"
}
exec "$WARREN" "$@"
"#;

/// A system that is run by the wrapper, which is kept in `folder`.
pub fn wrapped(folder: &Folder) -> Setup {
    let wrapper = folder.path().join("warren.sh");
    fs::write(&wrapper, WRAPPER).expect("the test's folder can be written");
    fs::set_permissions(&wrapper, Permissions::from_mode(0o755)).expect("it is ours");
    system_of(&wrapper).env_of_all("WARREN", WARREN)
}

/// A system for whose processes names lead where the file `names` says, which is like `/etc/hosts` and may change.
pub fn with_names(folder: &Folder, names: &Path) -> Setup {
    wrapped(folder).env_of_all("WARREN_NAMES", names.to_str().expect("a path of ASCII"))
}

/// Whether this machine lets us mount a disk in a namespace of our own.
pub fn can_mount() -> bool {
    let script = "mount -t tmpfs -o size=1m warren /tmp";
    let output = Command::new("unshare").args(["--mount", "--map-root-user", "sh", "-c", script]).output();
    output.is_ok_and(|output| output.status.success())
}

/// The small disk of a running service, as seen from outside its namespace.
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Gives the service a disk of this size, such as `16m`, from its next start on.
    pub fn give(setup: Setup, service: Service, size: &str) -> Setup {
        setup.env(service, "WARREN_DISK_SIZE", size)
    }

    /// The disk of the service, which runs.
    pub fn of(child: &Child, folder: &Folder) -> Self {
        let data = folder.path().join(child.service().name());
        let inside = data.strip_prefix("/").expect("an absolute path");
        Self(Path::new("/proc").join(child.pid().to_string()).join("root").join(inside))
    }

    /// Fills the disk until so many bytes are free, or to the last byte.
    pub fn fill_up_to(&self, free: u64) {
        let mut ballast =
            File::options().create(true).append(true).open(self.ballast()).expect("the disk is there");
        let page = [0xff; 4096];
        while self.free() > free {
            match ballast.write_all(&page) {
                Ok(()) => {}
                Err(error) if error.kind() == ErrorKind::StorageFull => return,
                Err(error) => panic!("{}: {error}", self.ballast().display()),
            }
        }
    }

    /// Gives back what was filled.
    pub fn clear(&self) {
        fs::remove_file(self.ballast()).expect("it was filled before");
    }

    /// How many bytes are free.
    pub fn free(&self) -> u64 {
        let disk = rustix::fs::statvfs(&self.0).expect("the disk is there");
        disk.f_bavail * disk.f_frsize
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }
}

/// Lets the process write no file larger than this from now on; `None` lifts the bound.
pub fn limit_files(child: &Child, bytes: Option<u64>) {
    let process = Pid::from_raw(child.pid().cast_signed());
    prlimit(process, Resource::Fsize, Rlimit { current: bytes, maximum: None })
        .expect("it is a process of ours");
}
