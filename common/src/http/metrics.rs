use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use actix_web::http::Method;
use prometheus_client::encoding::{EncodeLabelSet, LabelSetEncoder};
use serde::Serialize;

use crate::telemetry::metrics::{Counter, Family, Histogram, Registry};

/// Upper bounds of the duration histogram, in seconds.
const BUCKETS: [f64; 13] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0];

/// Counts and times requests by route pattern, never by path, so that the number of series is bounded.
#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<Answered, Counter>,
    durations: Family<Asked, Histogram, fn() -> Histogram>,
    totals: Arc<[AtomicU64; 2]>,
}

/// What a server has answered in all, but for [`NoTraffic`](super::NoTraffic).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// Requests that were answered.
    pub requests: u64,
    /// Those of them with a status from 500.
    pub failures: u64,
}

impl HttpMetrics {
    /// Registers `<service>_http_requests_total` and `<service>_http_request_duration_seconds`.
    pub fn register(service: &str, registry: &mut Registry) -> Self {
        let requests = Family::default();
        let durations = Family::new_with_constructor((|| Histogram::new(BUCKETS)) as fn() -> Histogram);
        registry.register(
            format!("{service}_http_requests"),
            "Requests by method, route pattern and status",
            requests.clone(),
        );
        registry.register(
            format!("{service}_http_request_duration_seconds"),
            "Time until the head of the answer, by method and route pattern",
            durations.clone(),
        );
        Self { requests, durations, totals: Arc::default() }
    }

    /// Finds where answers of `status` to `method` at `route` are counted, for those who count many of them.
    pub fn series(&self, method: &'static str, route: &RouteLabel, status: u16) -> HttpSeries {
        let asked = Asked { method, route: route.clone() };
        HttpSeries {
            duration: self.durations.get_or_create(&asked).clone(),
            requests: self.requests.get_or_create(&Answered { asked, status }).clone(),
        }
    }

    /// The traffic in all, but for what was counted by [`HttpSeries`].
    pub fn totals(&self) -> Totals {
        let [requests, failures] = [0, 1].map(|which| self.totals[which].load(Ordering::Relaxed));
        Totals { requests, failures }
    }

    pub(super) fn observe(&self, method: &Method, route: &RouteLabel, status: u16, took: Duration) {
        let asked = Asked { method: known(method), route: route.clone() };
        self.durations.get_or_create(&asked).observe(took.as_secs_f64());
        self.requests.get_or_create(&Answered { asked, status }).inc();
    }

    /// Counts an answer as traffic.
    pub(super) fn count(&self, status: u16) {
        self.totals[0].fetch_add(1, Ordering::Relaxed);
        if status >= 500 {
            self.totals[1].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Where answers of one kind are counted.
#[derive(Clone, Debug)]
pub struct HttpSeries {
    requests: Counter,
    duration: Histogram,
}

impl HttpSeries {
    /// Counts an answer whose head took so long.
    pub fn observe(&self, took: Duration) {
        self.duration.observe(took.as_secs_f64());
        self.requests.inc();
    }
}

/// What a route is called in metrics and access lines; put into a request's extensions where the pattern of
/// the route that took it says too little.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RouteLabel(Label);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Label {
    Unknown,
    Pattern(Arc<str>),
}

impl RouteLabel {
    /// The label of requests that no route took.
    pub const UNKNOWN: Self = Self(Label::Unknown);

    /// The label as text.
    pub fn as_str(&self) -> &str {
        match &self.0 {
            Label::Unknown => "unknown",
            Label::Pattern(pattern) => pattern,
        }
    }
}

impl<T: Into<Arc<str>>> From<T> for RouteLabel {
    fn from(pattern: T) -> Self {
        Self(Label::Pattern(pattern.into()))
    }
}

impl fmt::Display for RouteLabel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    method: &'static str,
    route: RouteLabel,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Answered {
    asked: Asked,
    status: u16,
}

impl EncodeLabelSet for Asked {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("method", self.method), ("route", self.route.as_str())].encode(encoder)
    }
}

impl EncodeLabelSet for Answered {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        self.asked.encode(encoder)?;
        [("status", self.status)].encode(encoder)
    }
}

/// Clients may invent methods; the series must stay few.
pub(super) fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
