use std::{path::Path, sync::Arc};

use arc_swap::{ArcSwap, Guard};

use super::{Changes, Mistakes, Overrides, Settings};

/// The settings that hold now. Cheap to clone; every clone sees a replacement.
///
/// All of [`Settings`] may change while the gateway runs. Where it listens, with how many workers, and how long it
/// drains is not part of them: the environment says that, and a running process cannot hear of another one.
#[derive(Clone, Debug)]
pub struct Current(Arc<ArcSwap<Settings>>);

impl Current {
    /// Begins with `settings`.
    pub fn new(settings: Settings) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(settings)))
    }

    /// Returns what holds now, without a lock and, as a rule, without counting a reference.
    pub fn load(&self) -> Guard<Arc<Settings>> {
        self.0.load()
    }

    /// Lets `settings` hold from now on. Whoever has loaded others keeps them as long as it likes.
    pub fn replace(&self, settings: Settings) -> Arc<Settings> {
        let settings = Arc::new(settings);
        self.0.store(settings.clone());
        settings
    }

    /// Reads the file again, and lets it hold where it is sound.
    ///
    /// # Errors
    /// Says everything that is wrong; what held before goes on holding.
    pub fn reload(&self, file: Option<&Path>, env: &Overrides) -> Result<Changes, Mistakes> {
        let new = Settings::load(file, env)?;
        let changes = Changes::between(&self.load(), &new);
        self.replace(new);
        Ok(changes)
    }
}

#[cfg(test)]
mod tests {
    use std::{env, fs, process};

    use super::*;

    #[test]
    fn a_sound_file_holds_at_once_and_a_bad_one_changes_nothing() {
        let file = env::temp_dir().join(format!("gateway-reload-{}.toml", process::id()));
        let current = Current::new(Settings::default());
        let seen_elsewhere = current.clone();
        let before = current.load();
        let write = |text: &str| fs::write(&file, text).expect("the folder for temporary files takes one");
        let reload = || current.reload(Some(&file), &Overrides::default());

        write("[limits]\nin_flight = 7");
        let changes = reload().expect("the file is sound");
        assert_eq!(changes.to_string(), "limits");
        assert_eq!(seen_elsewhere.load().limits.in_flight, 7);
        assert_eq!(before.limits.in_flight, 1024, "whoever has loaded before keeps what it had");

        write("[limits]\nin_flight = 0");
        let mistakes = reload().expect_err("the file is not sound").to_string();
        assert!(mistakes.ends_with(".toml:2: limits.in_flight: must be at least 1"), "{mistakes}");
        assert_eq!(current.load().limits.in_flight, 7);

        fs::remove_file(&file).expect("it is still there");
        let mistakes = reload().expect_err("the file is gone").to_string();
        assert!(mistakes.contains(".toml: cannot be read: "), "{mistakes}");
        assert_eq!(current.load().limits.in_flight, 7);
    }
}
