use actix_web::{HttpResponse, web};
use common::http::{Problem, StatusCode};
use serde::Deserialize;

use super::{App, limited};
use crate::console::ledger::follow;

/// The longest id that is looked for.
const LONGEST: usize = 200;

/// What may be asked for.
#[derive(Deserialize)]
pub(super) struct Query {
    q: String,
    limit: Option<usize>,
}

/// `GET /console/ledger?q&limit`: 200 with the events that are about an id and their steps in all services, and the services
/// that did not answer.
pub(super) async fn ledger(app: web::Data<App>, query: web::Query<Query>) -> Result<HttpResponse, Problem> {
    let Query { q, limit } = query.into_inner();
    let (id, limit) = (q.trim(), limited(limit, 50, 200)?);
    if id.is_empty() || id.len() > LONGEST {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "invalid query").detail(format!(
            "q must be the id of an event, a request, or what an event is about, of at most {LONGEST} bytes"
        )));
    }
    Ok(HttpResponse::Ok().json(follow(&app.fleet, id, limit).await))
}
