use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use actix_web::{
    HttpResponse,
    http::{StatusCode, header::RETRY_AFTER},
    web,
};
use serde::Serialize;

use super::NoTraffic;

/// When an orchestrator may ask an unready service again.
const RETRY: Duration = Duration::from_secs(1);

const LIVE: &str = "/health/live";
const READY: &str = "/health/ready";

/// What one part of a service says about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// All is well.
    Ready,
    /// Requests are served, but something is missing, such as the broker; says what.
    Degraded(String),
    /// Requests should go elsewhere; says why.
    Unready(String),
}

/// What `/health/live` and `/health/ready` answer. Clones share their conditions.
#[derive(Clone, Default)]
pub struct Probes(Arc<Shared>);

#[derive(Default)]
struct Shared {
    conditions: Mutex<Vec<Check>>,
    draining: AtomicBool,
}

/// Says what some parts say, each by its name.
type Check = Box<dyn Fn() -> Vec<(String, Condition)> + Send + Sync>;

impl Probes {
    /// Probes without a condition: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks `check` whenever readiness is asked for; it must answer at once.
    pub fn condition(
        self,
        name: &'static str,
        check: impl Fn() -> Condition + Send + Sync + 'static,
    ) -> Self {
        self.conditions(move || vec![(name.to_owned(), check())])
    }

    /// Asks `check` for conditions by name whenever readiness is asked for, where there may be other ones each time.
    pub fn conditions(self, check: impl Fn() -> Vec<(String, Condition)> + Send + Sync + 'static) -> Self {
        self.0.conditions.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(check));
        self
    }

    /// Turns unready for good, because the service stops.
    pub fn drain(&self) {
        self.0.draining.store(true, Ordering::Relaxed);
    }

    /// Asks every condition.
    pub fn readiness(&self) -> Readiness {
        let (mut unready, mut degraded) = (Vec::new(), Vec::new());
        if self.0.draining.load(Ordering::Relaxed) {
            unready.push("draining".to_owned());
        }
        let conditions = self.0.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, condition) in conditions.iter().flat_map(|check| check()) {
            match condition {
                Condition::Ready => {}
                Condition::Degraded(reason) => degraded.push(format!("{name}: {reason}")),
                Condition::Unready(reason) => unready.push(format!("{name}: {reason}")),
            }
        }
        let status = match (unready.is_empty(), degraded.is_empty()) {
            (false, _) => ReadinessStatus::Unready,
            (true, false) => ReadinessStatus::Degraded,
            (true, true) => ReadinessStatus::Ready,
        };
        unready.append(&mut degraded);
        Readiness { status, reasons: unready }
    }

    /// Answers `/health/live` and `/health/ready`; `None` for any other path.
    pub fn answer(&self, path: &str) -> Option<ProbeAnswer> {
        match path {
            LIVE => Some(live()),
            READY => Some(ready(&self.readiness())),
            _ => None,
        }
    }

    pub(super) fn configure(&self, routes: &mut web::ServiceConfig) {
        let probes = self.clone();
        let live = || async { live().into_response() };
        let ready = move || {
            let answer = ready(&probes.readiness()).into_response();
            async move { answer }
        };
        routes
            .service(web::resource(LIVE).app_data(NoTraffic).get(live).route(web::head().to(live)))
            .service(
                web::resource(READY).app_data(NoTraffic).get(ready.clone()).route(web::head().to(ready)),
            );
    }
}

/// Whether requests should come here, and what is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Readiness {
    /// In one word.
    pub status: ReadinessStatus,
    /// What is wrong, the gravest first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reasons: Vec<String>,
}

/// A [`Readiness`] in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ReadinessStatus {
    /// All is well.
    Ready,
    /// Requests are served, but something is missing.
    Degraded,
    /// Requests should go elsewhere.
    Unready,
}

/// What a probe answers, as it goes over the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProbeAnswer {
    /// The status code: 200 or 503.
    pub status: u16,
    /// When to ask again, in seconds, where the answer is 503.
    pub retry_after: Option<u64>,
    /// The JSON.
    pub body: Vec<u8>,
}

impl ProbeAnswer {
    fn into_response(self) -> HttpResponse {
        let mut response = HttpResponse::build(StatusCode::from_u16(self.status).unwrap_or_default());
        response.content_type("application/json");
        if let Some(seconds) = self.retry_after {
            response.insert_header((RETRY_AFTER, seconds));
        }
        response.body(self.body)
    }
}

fn live() -> ProbeAnswer {
    ProbeAnswer { status: 200, retry_after: None, body: br#"{"status":"live"}"#.to_vec() }
}

fn ready(readiness: &Readiness) -> ProbeAnswer {
    // Strings alone always become JSON.
    let body = serde_json::to_vec(readiness).unwrap_or_default();
    match readiness.status {
        ReadinessStatus::Ready | ReadinessStatus::Degraded => {
            ProbeAnswer { status: 200, retry_after: None, body }
        }
        ReadinessStatus::Unready => ProbeAnswer { status: 503, retry_after: Some(RETRY.as_secs()), body },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gravest_condition_decides_and_every_reason_is_named() {
        let degraded = || Condition::Degraded("away".to_owned());
        let probes = Probes::new().condition("store", || Condition::Ready).condition("broker", degraded);

        let before = probes.readiness();
        probes.drain();
        let after = probes.readiness();

        assert_eq!(
            before,
            Readiness { status: ReadinessStatus::Degraded, reasons: vec!["broker: away".into()] }
        );
        let reasons = vec!["draining".into(), "broker: away".into()];
        assert_eq!(after, Readiness { status: ReadinessStatus::Unready, reasons });
    }
}
