use actix_web::{HttpResponse, http::StatusCode, web};
use serde::Deserialize;

use super::{JsonBody, Probes, Problem};
use crate::{
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
    /// Whether `POST /actors/{name}/fault` exists (`DEMO_FAULTS`).
    pub faults: bool,
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
}

/// Replies as soon as the fault is on its way to the actor.
fn inject(supervisor: &Supervisor, actor: &str, fault: FaultRequest) -> Result<HttpResponse, Problem> {
    let fault = match fault {
        FaultRequest::Panic => Fault::Panic,
        FaultRequest::Stop => Fault::Stop,
    };
    supervisor
        .inject(actor, fault)
        .map_err(|error| Problem::new(StatusCode::NOT_FOUND, error.to_string()))?;
    log::warn!("event=fault_requested actor={actor:?} fault={fault:?}");
    Ok(HttpResponse::Accepted().finish())
}
