use std::{fmt, time::SystemTime};

use serde::{Deserialize, Serialize};

/// The id of one request: 1 to 128 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(String);

impl RequestId {
    /// Makes a new id, ordered by time. It need not be hard to guess, so it costs no system call.
    pub fn fresh() -> Self {
        let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let millis = u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX);
        let mut random = [0; 10];
        fastrand::fill(&mut random);
        Self(uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid().to_string())
    }

    /// Accepts a caller's id, or returns `None` where it is empty, longer than 128 bytes, or holds anything
    /// but visible ASCII (it goes into log lines and headers as it is).
    pub fn accept(raw: &str) -> Option<Self> {
        let sound = (1..=128).contains(&raw.len())
            && raw.bytes().all(|b| b.is_ascii_graphic() && b != b'"' && b != b'\\');
        sound.then(|| Self(raw.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_ids_that_could_break_a_log_line_are_not_accepted() {
        assert!(RequestId::accept("order-7").is_some());
        for raw in ["", "two words", "line\nbreak", "quo\"te", "ümlaut", &"x".repeat(129)] {
            assert!(RequestId::accept(raw).is_none(), "{raw:?}");
        }
    }
}
