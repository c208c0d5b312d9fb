use std::{path::PathBuf, str::FromStr, time::Duration};

use crate::config::Environment;

/// How a service keeps its data.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// On disk or in memory.
    pub kind: StoreKind,
    /// The folder that holds the file; made where it is missing.
    pub folder: PathBuf,
    /// Free bytes of the disk below which requests are refused, so that upkeep and recovery still have room.
    pub reserve_bytes: u64,
    /// Waiting events above which requests are refused.
    pub outbox_limit: u64,
    /// Memory that the file's pages may take, in bytes.
    pub cache_bytes: usize,
    /// How long an event is recognised when it comes again.
    pub inbox_retention: Duration,
    /// How long an answer is replayed for its Idempotency-Key.
    pub idempotency_retention: Duration,
}

/// Where the data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// One file in [`StoreConfig::folder`].
    Redb,
    /// Nothing is kept when the process or the repository actor ends.
    Memory,
}

impl StoreConfig {
    /// Reads `STORE`, `DATA_DIR` and the `STORE_…` bounds.
    pub fn from_env(env: &mut Environment) -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            kind: env.parse("STORE", StoreKind::Redb, "redb or memory"),
            folder: PathBuf::from(env.text("DATA_DIR", "data")),
            reserve_bytes: env.parse("STORE_RESERVE_BYTES", 64 << 20, "a number of bytes"),
            outbox_limit: env.parse("STORE_OUTBOX_EVENTS", 1_000_000, "a number of events"),
            cache_bytes: env.parse("STORE_CACHE_BYTES", 64 << 20, "a number of bytes"),
            inbox_retention: DAY
                * u32::from(env.parse("STORE_INBOX_DAYS", 7_u16, "a number of days up to 65535")),
            idempotency_retention: DAY,
        }
    }
}

impl FromStr for StoreKind {
    type Err = ();

    fn from_str(raw: &str) -> Result<Self, ()> {
        match raw {
            "redb" => Ok(Self::Redb),
            "memory" => Ok(Self::Memory),
            _ => Err(()),
        }
    }
}
