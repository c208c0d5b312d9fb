//! What the figures were measured on: without it they mean nothing.

use std::fmt;
use std::fs;
use std::process::{Command, Stdio};

use jiff::Zoned;

/// The machine and the versions.
pub struct Machine {
    cores: usize,
    processor: String,
    kernel: String,
    commit: Option<String>,
    date: String,
    programs: Vec<(String, String)>,
}

impl Machine {
    /// Looks at this one.
    pub fn here() -> Self {
        let file = |path| fs::read_to_string(path).unwrap_or_default();
        let processor = file("/proc/cpuinfo").lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            ["model name", "Model", "Hardware"].contains(&name.trim()).then(|| value.trim().to_owned())
        });
        Self {
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            processor: processor.unwrap_or_else(|| "unknown processor".to_owned()),
            kernel: file("/proc/sys/kernel/osrelease").trim().to_owned(),
            commit: commit(),
            date: Zoned::now().strftime("%Y-%m-%d").to_string(),
            programs: Vec::new(),
        }
    }

    /// Adds a program whose version matters.
    pub fn runs(&mut self, name: &str, version: Option<String>) {
        self.programs.push((name.to_owned(), version.unwrap_or_else(|| "not installed".to_owned())));
    }
}

/// The commit of the sources around, with a mark where they were changed since.
fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output =
            Command::new("git").args(arguments).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short", "HEAD"])?;
    let is_changed = !git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty();
    Some(if is_changed { format!("{commit} and changes") } else { commit })
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, processor, kernel, commit, date, programs } = self;
        write!(f, "Measured on {date}: {cores} cores ({processor}), Linux {kernel}")?;
        for (name, version) in programs {
            write!(f, ", {name} {version}")?;
        }
        if let Some(commit) = commit {
            write!(f, ", commit {commit}")?;
        }
        f.write_str(".")
    }
}
