use actix_web::{HttpResponse, web};
use common::http::Problem;
use serde::Deserialize;

use super::{App, limited};
use crate::console::timeline::{Wanted, merged};

/// What may be asked for.
#[derive(Deserialize)]
pub(super) struct Query {
    limit: Option<usize>,
    service: Option<String>,
    kind: Option<String>,
    text: Option<String>,
}

/// `GET /console/timeline?limit&service&kind&text`: 200 with the incidents of all services, newest first, and the services
/// that did not answer.
pub(super) async fn timeline(app: web::Data<App>, query: web::Query<Query>) -> Result<HttpResponse, Problem> {
    let Query { limit, service, kind, text } = query.into_inner();
    let given = |raw: Option<String>| raw.filter(|raw| !raw.is_empty());
    let wanted = Wanted {
        limit: limited(limit, 200, 1000)?,
        service: given(service),
        kind: given(kind),
        text: given(text),
    };
    Ok(HttpResponse::Ok().json(merged(&app.fleet, &app.timeline, &wanted).await))
}
