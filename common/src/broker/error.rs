use std::{error::Error, fmt, io};

use lapin::ErrorKind;

type Cause = Box<dyn Error + Send + Sync>;

/// What went wrong between this process and the broker.
#[derive(Debug)]
pub enum BrokerError {
    /// The broker is away, silent, or left in the middle.
    Unreachable {
        /// What was tried: `connect to 127.0.0.1:5672`.
        action: String,
        /// Why it failed.
        source: Cause,
    },
    /// The broker answered, and said no: wrong password, unknown virtual host, a queue with other arguments.
    Refused {
        /// What was tried: `declare queue users.order-created`.
        action: String,
        /// Why it was refused.
        source: Cause,
    },
}

impl BrokerError {
    /// Whether trying again may help without anybody's doing.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }

    pub(super) fn unreachable(action: impl Into<String>, source: impl Into<Cause>) -> Self {
        Self::Unreachable { action: action.into(), source: source.into() }
    }

    /// Sorts what lapin says.
    pub(super) fn from_lapin(action: impl Into<String>, error: &lapin::Error) -> Self {
        let (action, source) = (action.into(), explain(error).into());
        match error.kind() {
            ErrorKind::ProtocolError(_) => Self::Refused { action, source },
            _ => Self::Unreachable { action, source },
        }
    }
}

impl fmt::Display for BrokerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (Self::Unreachable { action, source } | Self::Refused { action, source }) = self;
        write!(f, "cannot {action}: {source}")
    }
}

impl Error for BrokerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let (Self::Unreachable { source, .. } | Self::Refused { source, .. }) = self;
        Some(source.as_ref())
    }
}

/// Says in the operator's words what lapin reports.
pub(super) fn explain(error: &lapin::Error) -> String {
    match error.kind() {
        ErrorKind::ProtocolError(error) => error.get_message().to_string(),
        ErrorKind::IOError(error) => explain_io(error),
        ErrorKind::MissingHeartbeatError => "the broker went silent: no heartbeat".to_owned(),
        ErrorKind::InvalidConnectionState(_) | ErrorKind::InvalidChannelState(..) => {
            "the connection is closed".to_owned()
        }
        _ => error.to_string(),
    }
}

/// Says an I/O error without the operating system's number.
pub(super) fn explain_io(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::Other | io::ErrorKind::InvalidData => error.to_string(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::UnexpectedEof => {
            "the broker closed the connection".to_owned()
        }
        kind if error.raw_os_error().is_some() => kind.to_string(),
        _ => error.to_string(),
    }
}
