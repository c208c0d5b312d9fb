use std::time::Duration;

use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Deserialize;

use super::{JsonBody, Probes, Problem, faults};
use crate::{
    broker::LinkFaults,
    supervision::{Fault, Supervisor},
    telemetry::metrics::{self, Metrics},
};

/// What a service shows of its insides: probes, metrics and actors. Not for strangers.
#[derive(Clone)]
pub struct Internal {
    /// `/health/live` and `/health/ready`.
    pub probes: Probes,
    /// `/metrics`.
    pub metrics: Metrics,
    /// `/actors`.
    pub supervisor: Supervisor,
    /// Whether `POST /actors/{name}/fault`, `/link/fault` and `/process/fault` exist (`DEMO_FAULTS`).
    pub faults: bool,
    /// The link that `POST /link/fault` is about, where there is one.
    pub link: Option<LinkFaults>,
}

impl Internal {
    pub(super) fn configure(&self, routes: &mut web::ServiceConfig) {
        self.probes.configure(routes);
        let metrics = self.metrics.clone();
        let supervisor = self.supervisor.clone();
        routes
            .service(web::resource("/metrics").get(move || {
                let text = metrics.encode();
                async move { HttpResponse::Ok().content_type(metrics::CONTENT_TYPE).body(text) }
            }))
            .service(web::resource("/actors").get(move || {
                let supervisor = supervisor.clone();
                async move { HttpResponse::Ok().json(supervisor.report().await) }
            }));
        if self.faults {
            faults::configure(routes, self.link.clone());
            let supervisor = self.supervisor.clone();
            routes.service(web::resource("/actors/{name}/fault").post(
                move |name: web::Path<String>, body: JsonBody<FaultRequest>| {
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
    log::warn!("event=fault_requested actor={actor:?} fault={fault:?}");
    Ok(HttpResponse::Accepted().finish())
}
