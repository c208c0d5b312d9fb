use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::Deserialize;

use super::{
    Deadline, HttpMetrics, NoTraffic, Probes, Problem, faults, history, operator_body::OperatorBody,
    report::ProcessReport,
};
use crate::{
    broker::LinkFaults,
    ledger::Ledger,
    supervision::{Fault, Supervisor},
    telemetry::metrics::{self, Metrics},
};

/// How long somebody waits for the actors who does not say.
const PATIENCE: Duration = Duration::from_secs(1);

/// What a service shows of its insides: probes, metrics, actors, and what has happened. Not for strangers.
#[derive(Clone)]
pub struct Internal {
    /// Which service.
    pub service: &'static str,
    /// `/health/live` and `/health/ready`.
    pub probes: Probes,
    /// `/metrics`.
    pub metrics: Metrics,
    /// `/actors` and `/timeline`.
    pub supervisor: Supervisor,
    /// `/ledger`, where events are kept.
    pub ledger: Option<Ledger>,
    /// Whether `POST /actors/{name}/fault`, `/link/fault` and `/process/fault` exist (`DEMO_FAULTS`).
    pub faults: bool,
    /// The link that `POST /link/fault` is about, where there is one.
    pub link: Option<LinkFaults>,
}

impl Internal {
    pub(super) fn configure(&self, routes: &mut web::ServiceConfig, traffic: &HttpMetrics) {
        self.probes.configure(routes);
        let metrics = self.metrics.clone();
        let (supervisor, traffic) = (self.supervisor.clone(), traffic.clone());
        let (service, faults) = (self.service, self.faults);
        routes
            .service(web::resource("/metrics").app_data(NoTraffic).get(move || {
                let text = metrics.encode();
                async move { HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(text) }
            }))
            .service(web::resource("/actors").app_data(NoTraffic).get(move |request: HttpRequest| {
                let (supervisor, counts) = (supervisor.clone(), traffic.totals());
                let longest = Deadline::of(&request).within(PATIENCE);
                async move {
                    let report = ProcessReport::of(service, &supervisor, counts, faults, longest).await;
                    HttpResponse::Ok().json(report)
                }
            }));
        history::timeline(routes, self.supervisor.timeline());
        if let Some(ledger) = &self.ledger {
            history::ledger(routes, ledger);
        }
        if self.faults {
            faults::configure(routes, self.link.clone(), self.supervisor.timeline());
            let supervisor = self.supervisor.clone();
            routes.service(web::resource("/actors/{name}/fault").app_data(NoTraffic).post(
                move |name: web::Path<String>, body: OperatorBody<FaultRequest>| {
                    let supervisor = supervisor.clone();
                    async move { inject(&supervisor, &name, body.value) }
                },
            ));
        }
    }
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum FaultRequest {
    Panic,
    Stop,
    Stall { ms: u64 },
}

/// A longer stall is as good as a stop, and nobody waits for its end.
const LONGEST_STALL_MS: u64 = 60_000;

/// Replies as soon as the fault is on its way to the actor.
fn inject(supervisor: &Supervisor, actor: &str, fault: FaultRequest) -> Result<HttpResponse, Problem> {
    let fault = match fault {
        FaultRequest::Panic => Fault::Panic,
        FaultRequest::Stop => Fault::Stop,
        FaultRequest::Stall { ms } if ms > LONGEST_STALL_MS => {
            return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid body")
                .detail(format!("ms: a stall lasts at most {LONGEST_STALL_MS} ms, and {ms} are more")));
        }
        FaultRequest::Stall { ms } => Fault::Stall(Duration::from_millis(ms)),
    };
    supervisor
        .inject(actor, fault)
        .map_err(|error| Problem::new(StatusCode::NOT_FOUND, error.to_string()))?;
    log::warn!("event=fault_requested actor={actor:?} fault={:?}", fault.to_string());
    Ok(HttpResponse::Accepted().finish())
}
