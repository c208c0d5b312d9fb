use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};

use super::Problem;
use crate::{
    ledger::{Ledger, LedgerEvent},
    timeline::{Incident, Timeline},
};

/// Most incidents in one answer: all that are remembered.
const INCIDENTS: usize = 1000;

/// Most events in one answer.
const EVENTS: usize = 200;

/// Most ids that are looked for at once.
const TERMS: usize = 300;

#[derive(Deserialize)]
struct TimelineQuery {
    #[serde(default = "incidents")]
    limit: usize,
    before: Option<u64>,
}

fn incidents() -> usize {
    100
}

#[derive(Serialize)]
struct TimelinePage {
    items: Vec<Incident>,
}

/// Adds `GET /timeline?limit=&before=`: the incidents of this service, newest first.
pub(super) fn timeline(routes: &mut web::ServiceConfig, timeline: &Timeline) {
    let timeline = timeline.clone();
    let page = move |query: web::Query<TimelineQuery>| {
        let items = timeline.page(query.limit.min(INCIDENTS), query.before);
        async move { HttpResponse::Ok().json(TimelinePage { items }) }
    };
    routes.service(web::resource("/timeline").get(page));
}

#[derive(Serialize)]
struct LedgerPage {
    events: Vec<LedgerEvent>,
}

/// Adds `GET /ledger?about=…&about=…&limit=`: the ways of the newest events about any of these, newest first.
pub(super) fn ledger(routes: &mut web::ServiceConfig, ledger: &Ledger) {
    let ledger = ledger.clone();
    let find = move |request: HttpRequest| {
        let ledger = ledger.clone();
        async move { find(&ledger, request.query_string()).await }
    };
    routes.service(web::resource("/ledger").get(find));
}

async fn find(ledger: &Ledger, query: &str) -> Result<HttpResponse, Problem> {
    let wrong = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid query").detail(detail);
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|_| wrong("it is no list of key=value pairs"))?
        .into_inner();
    let (mut about, mut limit) = (Vec::new(), EVENTS.min(50));
    for (key, value) in pairs {
        match key.as_str() {
            "about" if !value.is_empty() => about.push(value),
            "about" => {
                return Err(wrong(
                    "about: the id of an event, a resource, a request or a trace, not nothing",
                ));
            }
            "limit" => limit = value.parse().map_err(|_| wrong("limit: a number of events"))?,
            _ => return Err(wrong(&format!("{key}: only about and limit are known"))),
        }
    }
    if about.is_empty() || about.len() > TERMS {
        return Err(wrong(&format!("about: from 1 to {TERMS} ids are looked for at once")));
    }
    let found = ledger.find(about, limit.min(EVENTS)).await;
    let events = found.map_err(|error| Problem::hidden(format!("the ledger cannot be read: {error}")))?;
    Ok(HttpResponse::Ok().json(LedgerPage { events }))
}
