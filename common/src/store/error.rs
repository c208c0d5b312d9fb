use std::fmt;

/// Why the store did not do what it was asked. Nothing of a failed command is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// The disk is nearly full; requests are refused until there is room.
    DiskFull,
    /// Too many events wait for the broker; requests are refused until some have left.
    OutboxFull,
    /// Too many commands are waiting.
    Overloaded,
    /// The repository is about to start again and takes nothing more.
    Restarting,
    /// Reading or writing the file failed; the repository starts again from what is on disk.
    Io(String),
    /// Writing the file failed because there is no room left for it; the repository starts again from what is on
    /// disk, as after any other failure.
    NoRoom(String),
    /// A stored value cannot be read, or a new one not be written.
    Corrupt(String),
    /// The repository ended before it knew. Whether the change is on disk is unknown.
    Unknown,
}

impl StoreError {
    /// Whether the same command may well succeed a little later.
    pub fn is_transient(&self) -> bool {
        !matches!(self, Self::Corrupt(_))
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DiskFull => f.write_str("the disk is nearly full"),
            Self::OutboxFull => f.write_str("too many events wait for the broker"),
            Self::Restarting => f.write_str("the repository is restarting"),
            Self::Overloaded => f.write_str("too many commands are waiting"),
            Self::Io(cause) | Self::NoRoom(cause) => write!(f, "cannot read or write the store: {cause}"),
            Self::Corrupt(what) => write!(f, "cannot decode {what}"),
            Self::Unknown => f.write_str("the repository ended before it knew"),
        }
    }
}

impl std::error::Error for StoreError {}
