//! How a process ended, told to the one that takes its place: nobody else can.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};

use common::timeline::{LAST_ENDED_AT, LAST_EXIT};
use jiff::Timestamp;

/// A process's end that was not in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LastEnd {
    how: String,
    at: Timestamp,
}

impl LastEnd {
    /// The end of a process that ended at `at`; `None` where it ended in order.
    pub fn of(status: ExitStatus, at: Timestamp) -> Option<Self> {
        (!status.success()).then(|| Self { how: in_words(status), at })
    }

    /// Tells the process that `command` starts; where there is nothing to tell, it hears nothing, whatever we were told.
    pub fn tell(last: Option<&Self>, command: &mut Command) {
        match last {
            Some(Self { how, at }) => command.env(LAST_EXIT, how).env(LAST_ENDED_AT, format!("{at:.3}")),
            None => command.env_remove(LAST_EXIT).env_remove(LAST_ENDED_AT),
        };
    }
}

/// How a process ended.
pub(crate) fn in_words(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("signal {signal}"),
        (None, Some(0)) => "in order".into(),
        (None, Some(code)) => format!("exit code {code}"),
        // Only of a process that goes on.
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(last: Option<&LastEnd>) -> Vec<(String, Option<String>)> {
        let mut command = Command::new("true");
        LastEnd::tell(last, &mut command);
        let text = |value: &std::ffi::OsStr| value.to_string_lossy().into_owned();
        command.get_envs().map(|(name, value)| (text(name), value.map(text))).collect()
    }

    #[test]
    fn the_next_process_hears_of_a_signal_or_a_code_and_when() {
        let at = "2026-11-22T13:00:00.123456Z".parse().expect("a time");
        for (status, how) in [(9, "signal 9"), (70 << 8, "exit code 70")] {
            let last = LastEnd::of(ExitStatus::from_raw(status), at);

            let expected = [(LAST_ENDED_AT, "2026-11-22T13:00:00.123Z"), (LAST_EXIT, how)];
            assert_eq!(told(last.as_ref()), expected.map(|(name, value)| (name.into(), Some(value.into()))));
        }
    }

    #[test]
    fn of_an_end_in_order_it_hears_nothing() {
        assert_eq!(LastEnd::of(ExitStatus::from_raw(0), Timestamp::UNIX_EPOCH), None);
        assert_eq!(in_words(ExitStatus::from_raw(0)), "in order");
        assert_eq!(told(None), [LAST_ENDED_AT, LAST_EXIT].map(|name| (name.into(), None)));
    }
}
