use std::time::Instant;

use common::telemetry::metrics::{AtScrape, Counter, Family, Gauge, Registry};

use super::{EndpointFailure, EndpointState, Upstreams};

type Labels<const N: usize> = [(&'static str, String); N];

/// What is counted of all upstreams. Clones count together.
#[derive(Clone, Debug)]
pub struct Metrics {
    endpoints: Family<Labels<2>, Gauge>,
    failures: Family<Labels<2>, Counter>,
    ejections: Family<Labels<1>, Counter>,
    retries: Family<Labels<2>, Counter>,
    in_flight: Family<Labels<1>, Gauge>,
}

/// What is counted of one upstream; each is found once, not at every request.
#[derive(Clone, Debug)]
pub struct UpstreamMetrics {
    /// By [`ENDPOINT_STATES`].
    pub endpoints: [Gauge; ENDPOINT_STATES.len()],
    /// By the kind of the failure.
    pub failures: [Counter; EndpointFailure::KINDS.len()],
    /// How often an endpoint was ejected.
    pub ejections: Counter,
    /// Retries that were granted.
    pub retries_taken: Counter,
    /// Retries that were not.
    pub retries_refused: Counter,
    /// Requests on their way.
    pub in_flight: Gauge,
}

/// What a breaker may be.
const BREAKER_STATES: [&str; 3] = ["closed", "open", "half-open"];

/// As what an endpoint is counted.
pub const ENDPOINT_STATES: [&str; 5] = ["unknown", "ready", "degraded", "unready", "ejected"];

const RETRY_OUTCOMES: [&str; 2] = ["taken", "refused"];

impl Metrics {
    /// Counts in `registry`.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            endpoints: Family::default(),
            failures: Family::default(),
            ejections: Family::default(),
            retries: Family::default(),
            in_flight: Family::default(),
        };
        let Self { endpoints, failures, ejections, retries, in_flight } = metrics.clone();
        registry.register("gateway_upstream_endpoints", "Endpoints by upstream and state", endpoints);
        registry.register("gateway_upstream_failures", "Failures by upstream and kind", failures);
        registry.register("gateway_upstream_ejections", "Endpoints left alone by upstream", ejections);
        registry.register("gateway_upstream_retries", "Retries by upstream and outcome", retries);
        registry.register("gateway_upstream_in_flight", "Requests on their way by upstream", in_flight);
        metrics
    }

    /// Finds everything that is counted of `upstream`.
    pub fn of(&self, upstream: &str) -> UpstreamMetrics {
        let retries = |outcome| self.retries.get_or_create_owned(&labels(upstream, "outcome", outcome));
        UpstreamMetrics {
            endpoints: ENDPOINT_STATES
                .map(|state| self.endpoints.get_or_create_owned(&labels(upstream, "state", state))),
            failures: EndpointFailure::KINDS
                .map(|kind| self.failures.get_or_create_owned(&labels(upstream, "kind", kind))),
            ejections: self.ejections.get_or_create_owned(&label(upstream)),
            retries_taken: retries(RETRY_OUTCOMES[0]),
            retries_refused: retries(RETRY_OUTCOMES[1]),
            in_flight: self.in_flight.get_or_create_owned(&label(upstream)),
        }
    }

    /// Shows nothing of `upstream` any more, which is gone from the settings.
    pub fn forget(&self, upstream: &str) {
        for state in ENDPOINT_STATES {
            self.endpoints.remove(&labels(upstream, "state", state));
        }
        for kind in EndpointFailure::KINDS {
            self.failures.remove(&labels(upstream, "kind", kind));
        }
        for outcome in RETRY_OUTCOMES {
            self.retries.remove(&labels(upstream, "outcome", outcome));
        }
        self.ejections.remove(&label(upstream));
        self.in_flight.remove(&label(upstream));
    }
}

/// Shows the breakers of `upstreams`, which change by themselves as time goes by.
pub(super) fn register_breakers(upstreams: &Upstreams, registry: &mut Registry) {
    let upstreams = upstreams.clone();
    let breakers = AtScrape::gauges(move || {
        let now = Instant::now();
        let mut counts = Vec::new();
        for upstream in upstreams.all().iter() {
            let endpoints = upstream.observe(now).endpoints;
            for state in BREAKER_STATES {
                let in_state = |endpoint: &&EndpointState| endpoint.breaker == state;
                let count = endpoints.iter().filter(in_state).count();
                counts.push((labels(upstream.name(), "state", state), count as f64));
            }
        }
        counts
    });
    registry.register("gateway_upstream_breakers", "Breakers of endpoints by upstream and state", breakers);
}

fn label(upstream: &str) -> Labels<1> {
    [("upstream", upstream.to_owned())]
}

fn labels(upstream: &str, name: &'static str, value: &str) -> Labels<2> {
    [("upstream", upstream.to_owned()), (name, value.to_owned())]
}
