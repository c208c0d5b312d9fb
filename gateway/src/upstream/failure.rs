use std::fmt;

/// Why an exchange speaks against the endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointFailure {
    /// No connection came about.
    Connect,
    /// The head of the answer did not come in time.
    Timeout,
    /// The answer broke off or was no HTTP.
    Answer,
    /// The answer was whole, and says that the service does not work.
    Status(u16),
}

impl EndpointFailure {
    /// Every [`kind`](Self::kind).
    pub(super) const KINDS: [&'static str; 4] = ["connect", "timeout", "answer", "status"];

    /// Tells a status that speaks against the endpoint from one that does not.
    ///
    /// A 503 that says when to come back is a decision of a service that works (its disk is full, one of its
    /// actors restarts); other requests there may well succeed.
    pub fn of_status(status: u16, has_retry_after: bool) -> Option<Self> {
        match status {
            503 if has_retry_after => None,
            500 | 502 | 503 | 504 => Some(Self::Status(status)),
            _ => None,
        }
    }

    /// The label of metrics.
    pub fn kind(self) -> &'static str {
        Self::KINDS[self.index()]
    }

    pub(super) fn index(self) -> usize {
        match self {
            Self::Connect => 0,
            Self::Timeout => 1,
            Self::Answer => 2,
            Self::Status(_) => 3,
        }
    }

    /// Whether the link failed, of which a health check that gets through tells as much as a request.
    pub(super) fn is_of_the_link(self) -> bool {
        matches!(self, Self::Connect | Self::Answer)
    }
}

impl fmt::Display for EndpointFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect => f.write_str("cannot connect"),
            Self::Timeout => f.write_str("no answer in time"),
            Self::Answer => f.write_str("no valid answer"),
            Self::Status(status) => write!(f, "answers {status}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_that_refuses_with_a_reason_to_come_back_has_not_failed() {
        assert_eq!(EndpointFailure::of_status(503, true), None);
        assert_eq!(EndpointFailure::of_status(503, false), Some(EndpointFailure::Status(503)));
        for status in [500, 502, 504] {
            assert_eq!(EndpointFailure::of_status(status, true), Some(EndpointFailure::Status(status)));
        }
        for status in [200, 304, 404, 409, 429, 501, 507] {
            assert_eq!(EndpointFailure::of_status(status, false), None, "{status}");
        }
    }

    #[test]
    fn every_failure_has_its_kind() {
        assert_eq!(EndpointFailure::Timeout.kind(), "timeout");
        assert_eq!(EndpointFailure::Status(500).kind(), "status");
    }
}
