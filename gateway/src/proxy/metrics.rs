use std::{cell::RefCell, fmt, time::Duration};

use common::{
    http::{HttpMetrics, HttpSeries, RouteLabel},
    telemetry::metrics::Registry,
};
use prometheus_client::{
    encoding::{EncodeLabelSet, LabelSetEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
};

use crate::http1::Method;

/// What is counted of everything that passes through, and of what does not.
#[derive(Clone)]
pub struct ProxyMetrics {
    http: HttpMetrics,
    refused: Family<Refused, Counter>,
    /// Connections of clients that are open.
    pub connections: Gauge,
    /// Connections that were refused, because one client had too many.
    pub connections_refused: Counter,
    /// Answers that broke off.
    pub cut: Counter,
    /// Requests whose client left before it was answered.
    pub abandoned: Counter,
    /// WebSockets that are open.
    pub tunnels: Gauge,
    /// Reloads of the settings, by what came of them.
    pub reloads: Family<Reload, Counter>,
}

impl ProxyMetrics {
    /// Registers them.
    pub fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            http: HttpMetrics::register("gateway", registry),
            refused: Family::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            cut: Counter::default(),
            abandoned: Counter::default(),
            tunnels: Gauge::default(),
            reloads: Family::default(),
        };
        let mut count =
            |name: &str, help: &str, counter: &Counter| registry.register(name, help, counter.clone());
        count(
            "gateway_connections_refused",
            "Connections beyond what one client may have",
            &metrics.connections_refused,
        );
        count("gateway_answers_cut", "Answers that broke off", &metrics.cut);
        count(
            "gateway_requests_abandoned",
            "Requests whose client left before the answer",
            &metrics.abandoned,
        );
        registry.register("gateway_connections", "Connections of clients", metrics.connections.clone());
        registry.register("gateway_tunnels", "WebSockets", metrics.tunnels.clone());
        registry.register(
            "gateway_refused",
            "Requests that the gateway refused, by reason",
            metrics.refused.clone(),
        );
        registry.register("gateway_reloads", "Reloads of the settings, by outcome", metrics.reloads.clone());
        metrics
    }

    /// Counts a request that a policy refused.
    pub fn refuse(&self, route: &RouteLabel, reason: &'static str) {
        self.refused.get_or_create(&Refused { route: route.clone(), reason }).inc();
    }
}

impl fmt::Debug for ProxyMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyMetrics").finish_non_exhaustive()
    }
}

/// Where a request belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestPlace {
    /// Nowhere: no route takes it.
    Unknown,
    /// One of the gateway's own pages, by its label.
    Own(&'static str),
    /// The route of this number in its table.
    Route(usize),
}

/// Where one worker counts its answers: a short list that is looked through, in place of labels that are hashed.
pub struct Series {
    http: HttpMetrics,
    known: RefCell<Vec<(RequestPlace, Method, u16, HttpSeries)>>,
}

impl Series {
    /// None yet.
    pub fn new(metrics: &ProxyMetrics) -> Self {
        Self { http: metrics.http.clone(), known: RefCell::default() }
    }

    /// Counts one answer; `label` is asked for once, if the place is to be remembered.
    pub fn observe(
        &self,
        place: RequestPlace,
        method: Method,
        status: u16,
        took: Duration,
        remember: bool,
        label: impl FnOnce() -> RouteLabel,
    ) {
        if !remember {
            return self.http.series(method.as_str(), &label(), status).observe(took);
        }
        let mut known = self.known.borrow_mut();
        let same = |(at, asked, code, _): &(RequestPlace, Method, u16, HttpSeries)| {
            *at == place && *asked == method && *code == status
        };
        match known.iter().find(|series| same(series)) {
            Some((.., series)) => series.observe(took),
            None => {
                let series = self.http.series(method.as_str(), &label(), status);
                series.observe(took);
                known.push((place, method, status, series));
            }
        }
    }

    /// Forgets which number stands for which route, since there is another table.
    pub fn forget(&self) {
        self.known.borrow_mut().clear();
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Refused {
    route: RouteLabel,
    reason: &'static str,
}

impl EncodeLabelSet for Refused {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("route", self.route.as_str()), ("reason", self.reason)].encode(encoder)
    }
}

/// What came of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reload {
    /// The new settings hold.
    Applied,
    /// They are bad, and the old ones hold.
    Refused,
}

impl EncodeLabelSet for Reload {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        let outcome = match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        };
        [("outcome", outcome)].encode(encoder)
    }
}
