use std::{
    cell::Cell,
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Endpoint, EndpointFailure, Upstream, breaker::Admission};

/// An endpoint that was chosen for one exchange, until that has ended.
///
/// Dropped without a verdict, it counts neither way: the client went away before anything was known.
#[derive(Debug)]
pub struct Choice {
    upstream: Arc<Upstream>,
    endpoint: Arc<Endpoint>,
    admission: Admission,
    verdict: Cell<Verdict>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Open,
    Succeeded,
    Failed,
}

impl Choice {
    pub(super) fn new(upstream: Arc<Upstream>, endpoint: Arc<Endpoint>, admission: Admission) -> Self {
        endpoint.begin();
        Self { upstream, endpoint, admission, verdict: Cell::new(Verdict::Open) }
    }

    /// Where to go.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Whether this exchange is to find out whether the endpoint works again.
    pub fn is_probe(&self) -> bool {
        self.admission.probe
    }

    /// Notes that the endpoint answered. Counts once; a failure may follow where the answer then breaks off.
    pub fn succeeded(&self, now: Instant) {
        if self.verdict.get() != Verdict::Open {
            return;
        }
        self.verdict.set(Verdict::Succeeded);
        if let Some(away) = self.endpoint.breaker(|breaker| breaker.succeeded(self.admission, now)) {
            self.upstream.endpoint_back(&self.endpoint, away);
        }
    }

    /// Notes that the exchange failed. Counts once.
    pub fn failed(&self, why: EndpointFailure, now: Instant) {
        if self.verdict.replace(Verdict::Failed) == Verdict::Failed {
            return;
        }
        let ejected = self.endpoint.breaker(|breaker| breaker.failed(self.admission, why, now));
        self.upstream.endpoint_failed(&self.endpoint, why, ejected);
    }
}

impl Drop for Choice {
    fn drop(&mut self) {
        self.endpoint.end();
        if self.admission.probe && self.verdict.get() == Verdict::Open {
            self.endpoint.breaker(|breaker| breaker.abandoned(self.admission));
        }
    }
}

/// No endpoint may be asked just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    /// When one may be asked again.
    pub retry_after: Duration,
    /// Why none may.
    pub why: UnavailableReason,
}

/// Why no endpoint may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnavailableReason {
    /// No address is known yet.
    NoAddress,
    /// Every endpoint failed too often.
    EveryEndpointFails,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.why {
            UnavailableReason::NoAddress => "its address is not known",
            UnavailableReason::EveryEndpointFails => "it failed too often and is left alone for a while",
        })
    }
}

impl std::error::Error for Unavailable {}
