//! `/experiments`: breaks something on purpose, and shows what came of it. Not routed without `DEMO_FAULTS`.

use actix_web::{HttpResponse, web};
use common::http::{JsonBody, Problem, Routes, StatusCode, readable};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::console::{
    Fleet,
    experiment::{Experiment, ExperimentsHandle, NotBegun, Offer, Plan, Receipt},
};

/// What the handlers of one worker share.
struct Experiments {
    handle: ExperimentsHandle,
    fleet: Fleet,
}

/// Adds the routes; what can be made is asked of the services of `fleet`.
pub fn configure(routes: &mut Routes, handle: ExperimentsHandle, fleet: Fleet) {
    routes
        .app_data(web::Data::new(Experiments { handle, fleet }))
        .service(readable("/experiments", list).post(begin));
}

#[derive(Serialize)]
struct ListView {
    kinds: Vec<Offer>,
    running: Option<Experiment>,
    receipts: Vec<Receipt>,
}

async fn list(experiments: web::Data<Experiments>) -> HttpResponse {
    let kinds = experiments.handle.offers(&experiments.fleet).await;
    let (running, receipts) = (experiments.handle.current(), experiments.handle.receipts());
    HttpResponse::Ok().json(ListView { kinds, running, receipts })
}

async fn begin(
    experiments: web::Data<Experiments>,
    body: JsonBody<Map<String, Value>>,
) -> Result<HttpResponse, Problem> {
    let plan = Plan::of(&body.value)
        .map_err(|why| Problem::new(StatusCode::BAD_REQUEST, "invalid experiment").detail(why))?;
    let begun = experiments.handle.begin(plan, &experiments.fleet).await;
    let experiment = begun.map_err(|why| {
        let (status, error) = match &why {
            NotBegun::Running => (StatusCode::CONFLICT, "experiment running"),
            NotBegun::NoSuchActor(_) => (StatusCode::BAD_REQUEST, "invalid experiment"),
            NotBegun::Unavailable(_) => (StatusCode::CONFLICT, "experiment unavailable"),
            NotBegun::Laboratory(_) => (StatusCode::SERVICE_UNAVAILABLE, "restarting"),
        };
        Problem::new(status, error).detail(why.to_string())
    })?;
    Ok(HttpResponse::Accepted().json(experiment))
}
