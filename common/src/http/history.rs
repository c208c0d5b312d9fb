use std::time::Duration;

use actix_web::{HttpRequest, HttpResponse, http::StatusCode, web};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Deadline, NoTraffic, Problem};
use crate::{
    ledger::{Ledger, LedgerError, LedgerEvent, Wanted},
    timeline::{Incident, Timeline},
};

/// Most incidents in one answer: all that are remembered.
const INCIDENTS: usize = 1000;

/// Most events in one answer.
const EVENTS: usize = 200;

/// Most ids of events in one question.
const EVENT_IDS: usize = 300;

/// How long a search may take where nobody says how long it is waited for.
const LONGEST_SEARCH: Duration = Duration::from_secs(10);

/// Most other ids: each is looked for in all of the ledger.
const TERMS: usize = 20;

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
    routes.service(web::resource("/timeline").app_data(NoTraffic).get(page));
}

#[derive(Serialize)]
struct LedgerPage {
    events: Vec<LedgerEvent>,
}

/// Adds `GET /ledger?event=…&about=…&limit=`: the ways of these events, and of the newest about any of these.
pub(super) fn ledger(routes: &mut web::ServiceConfig, ledger: &Ledger) {
    let ledger = ledger.clone();
    let find = move |request: HttpRequest| {
        let ledger = ledger.clone();
        async move { find(&ledger, request.query_string(), Deadline::of(&request)).await }
    };
    routes.service(web::resource("/ledger").app_data(NoTraffic).get(find));
}

async fn find(ledger: &Ledger, query: &str, deadline: Deadline) -> Result<HttpResponse, Problem> {
    let wrong = |detail: &str| Problem::new(StatusCode::BAD_REQUEST, "invalid query").detail(detail);
    let pairs = web::Query::<Vec<(String, String)>>::from_query(query)
        .map_err(|_| wrong("it is no list of key=value pairs"))?
        .into_inner();
    let mut wanted = Wanted { limit: 50, ..Wanted::default() };
    for (key, value) in pairs {
        match key.as_str() {
            "event" if !value.is_empty() => wanted.events.push(value),
            "event" => return Err(wrong("event: the id of an event, not nothing")),
            "about" if !value.is_empty() => wanted.about.push(value),
            "about" => {
                return Err(wrong(
                    "about: the id of an event, a resource, a request or a trace, not nothing",
                ));
            }
            "limit" => wanted.limit = value.parse().map_err(|_| wrong("limit: a number of events"))?,
            _ => return Err(wrong(&format!("{key}: only event, about and limit are known"))),
        }
    }
    if wanted.events.is_empty() && wanted.about.is_empty() {
        return Err(wrong(
            "name what is looked for: about=, the id of an event, a resource, a request or a trace",
        ));
    }
    if wanted.events.len() > EVENT_IDS || wanted.about.len() > TERMS {
        return Err(wrong(&format!(
            "at most {EVENT_IDS} events and {TERMS} other ids are looked for at once"
        )));
    }
    wanted.limit = wanted.limit.min(EVENTS);
    // A search that nobody waits for any more is given up.
    let found = timeout(deadline.within(LONGEST_SEARCH), ledger.find(wanted)).await;
    match found.unwrap_or(Err(LedgerError::Busy)) {
        Ok(events) => Ok(HttpResponse::Ok().json(LedgerPage { events })),
        Err(LedgerError::Busy) => {
            let busy = Problem::new(StatusCode::SERVICE_UNAVAILABLE, "ledger busy");
            let detail = "others look for something in the ledger; ask again in a second";
            Err(busy.detail(detail).retry_after(Duration::from_secs(1)))
        }
        Err(error @ LedgerError::Io(_)) => Err(Problem::hidden(error.to_string())),
    }
}
