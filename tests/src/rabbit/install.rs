//! Finds the installed RabbitMQ, and makes it start faster.

use std::env;
use std::fs;
use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use super::RabbitError;

/// Where Debian and Homebrew keep the scripts themselves. Debian's `/usr/sbin/rabbitmq-server` is another one, which
/// changes to the user `rabbitmq` and so to that user's data.
const KNOWN: [&str; 3] =
    ["/usr/lib/rabbitmq/bin", "/opt/homebrew/opt/rabbitmq/sbin", "/usr/local/opt/rabbitmq/sbin"];

/// An installed RabbitMQ.
#[derive(Clone, Debug)]
pub struct Installation {
    /// The folder of `rabbitmq-server`, `rabbitmqctl` and what they read.
    scripts: PathBuf,
}

impl Installation {
    /// Looks where packages put it and then along `PATH`.
    ///
    /// # Errors
    ///
    /// [`RabbitError::NotInstalled`], whose message says how to get one.
    pub fn find() -> Result<Self, RabbitError> {
        let path = env::var_os("PATH").unwrap_or_default();
        let known = KNOWN.into_iter().map(PathBuf::from);

        known
            .chain(env::split_paths(&path))
            .filter_map(|folder| {
                fs::canonicalize(folder.join("rabbitmq-server")).ok()?.parent().map(Path::to_owned)
            })
            .find(|scripts| scripts.join("rabbitmq-env").exists())
            .map(|scripts| Self { scripts })
            .ok_or(RabbitError::NotInstalled)
    }

    /// The folder that holds its scripts.
    pub fn folder(&self) -> &Path {
        &self.scripts
    }

    /// The script that becomes the node: it ends in `exec`.
    pub(super) fn server(&self) -> PathBuf {
        self.scripts.join("rabbitmq-server")
    }

    /// The script that talks to a running node.
    pub(super) fn ctl(&self) -> PathBuf {
        self.scripts.join("rabbitmqctl")
    }

    /// Makes, in `folder`, the same installation without its plugins, as links, and returns its scripts' folder.
    ///
    /// Erlang looks for each of some 600 modules in every plugin's folder in turn. Without the plugins, none of which a
    /// private node enables, it starts in two thirds of the time. `None` where the layout is not the known one, or where
    /// the scripts would stumble over a space in the path: then the node starts from the installation itself.
    pub(super) fn without_plugins(&self, folder: &Path) -> Option<PathBuf> {
        let plain = |folder: &Path| !folder.to_string_lossy().contains(char::is_whitespace);
        plain(folder).then(|| self.link_without_plugins(folder).ok()).flatten()
    }

    fn link_without_plugins(&self, folder: &Path) -> io::Result<PathBuf> {
        let real = self.scripts.join("..");
        if folder.exists() {
            fs::remove_dir_all(folder)?;
        }
        for part in ["sbin", "plugins"] {
            fs::create_dir_all(folder.join(part))?;
        }

        for script in fs::read_dir(&self.scripts)? {
            let script = script?;
            symlink(script.path(), folder.join("sbin").join(script.file_name()))?;
        }
        for library in fs::read_dir(real.join("plugins"))? {
            let library = library?;
            if is_needed(&library.file_name().to_string_lossy()) {
                symlink(library.path(), folder.join("plugins").join(library.file_name()))?;
            }
        }
        Ok(folder.join("sbin"))
    }
}

/// Plugins are named `rabbitmq_…`; the first stage of the start is too. All others are libraries.
fn is_needed(library: &str) -> bool {
    library.starts_with("rabbitmq_prelaunch") || !library.starts_with("rabbitmq_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_left_out_and_libraries_are_not() {
        assert!(
            is_needed("rabbit-3.10.8") && is_needed("ra-2.2.0") && is_needed("rabbitmq_prelaunch-3.10.8")
        );
        assert!(!is_needed("rabbitmq_management-3.10.8") && !is_needed("rabbitmq_stream-4.0.5"));
    }
}
