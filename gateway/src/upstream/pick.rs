//! Finds the endpoint that suits one request best.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Endpoint, EndpointId, Unavailable, UnavailableReason, breaker::Gate, endpoint::weight};

/// How long to wait where nobody knows how long.
const SOON: Duration = Duration::from_secs(1);

/// What the endpoints are compared by in one choice.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    /// The endpoint that has just failed.
    pub avoid: Option<EndpointId>,
    /// Counts the choices.
    pub turn: u64,
    /// How long a returning endpoint gets less than its share.
    pub slow_return: Duration,
    /// Now.
    pub now: Instant,
}

/// How well an endpoint suits: the smallest is the best. First by rank, then by load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Suits {
    rank: Rank,
    load: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    /// Failed too often, and its time to be tried has come: one request finds out.
    Probe,
    Ready,
    /// Came back a short while ago, and this request is not among its share.
    Returning,
    /// It has just failed this very request.
    Avoided,
    Unready,
    UnreadyAvoided,
    /// Like `Probe`, but there is little hope or the request has failed once: only if there is nothing else.
    LastResort,
}

impl Round {
    /// Finds the endpoint with the least in flight; those that have as little take turns. Takes no lock and
    /// allocates nothing.
    pub fn pick<'a>(&self, endpoints: &'a [Arc<Endpoint>]) -> Result<(&'a Arc<Endpoint>, bool), Unavailable> {
        let mut best: Option<(Suits, &Arc<Endpoint>)> = None;
        let mut tied = 0;
        let mut retry_after = Duration::MAX;
        for endpoint in endpoints {
            match self.suits(endpoint) {
                Ok(suits) => match best {
                    Some((least, _)) if least < suits => {}
                    Some((least, _)) if least == suits => tied += 1,
                    _ => {
                        best = Some((suits, endpoint));
                        tied = 1;
                    }
                },
                Err(wait) => retry_after = retry_after.min(wait),
            }
        }
        let Some((least, first)) = best else {
            return Err(match endpoints.is_empty() {
                true => Unavailable { retry_after: SOON, why: UnavailableReason::NoAddress },
                false => Unavailable { retry_after, why: UnavailableReason::EveryEndpointFails },
            });
        };
        let mut chosen = first;
        if tied > 1 {
            // Meanwhile another worker may have changed the load of one; then the first is as good.
            let equal = endpoints.iter().filter(|endpoint| self.suits(endpoint) == Ok(least));
            chosen = equal.into_iter().nth((self.turn % tied) as usize).unwrap_or(first);
        }
        Ok((chosen, matches!(least.rank, Rank::Probe | Rank::LastResort)))
    }

    /// Tells how well an endpoint suits, or how long it is left alone.
    fn suits(&self, endpoint: &Endpoint) -> Result<Suits, Duration> {
        let avoided = self.avoid == Some(endpoint.id());
        let unready = endpoint.is_unready();
        let in_flight = endpoint.in_flight();
        match endpoint.gate() {
            Gate::Probing => Err(SOON),
            Gate::Open { until } if self.now < until => Err(until - self.now),
            Gate::Open { .. } => {
                let first_try = self.avoid.is_none() && !unready;
                let rank = if first_try { Rank::Probe } else { Rank::LastResort };
                Ok(Suits { rank, load: in_flight })
            }
            Gate::Closed { returned } => {
                let weight = weight(returned, self.slow_return, self.now);
                let rank = match (unready, avoided) {
                    (true, true) => Rank::UnreadyAvoided,
                    (true, false) => Rank::Unready,
                    (false, true) => Rank::Avoided,
                    (false, false) if self.lot() >= weight => Rank::Returning,
                    (false, false) => Rank::Ready,
                };
                Ok(Suits { rank, load: in_flight * 100 / weight })
            }
        }
    }

    /// A number below 100 for this turn. Multiples of the golden ratio spread as evenly as can be, and have
    /// nothing to do with whose turn it is.
    fn lot(&self) -> u64 {
        const GOLDEN_RATIO: u64 = 0x9E37_79B9_7F4A_7C15;
        ((self.turn.wrapping_mul(GOLDEN_RATIO) >> 32) * 100) >> 32
    }
}
