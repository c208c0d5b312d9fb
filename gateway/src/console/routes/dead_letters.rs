//! `/dead-letters`: what no consumer could handle, shown, replayed and discarded.

use std::future::Future;

use actix_web::{HttpRequest, HttpResponse, web};
use base64::{Engine, engine::general_purpose::STANDARD};
use common::{
    broker::{DeadLetter, Replayed},
    event::EventId,
    http::{Problem, Routes, StatusCode, readable},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::console::{DeadLetterDesk, DeskError};

/// How many letters are listed where nobody says, and at most.
const LIMIT: usize = 100;
const LIMIT_MOST: usize = 500;

/// Says `true` where a body would be in the way.
const CONFIRM: &str = "x-confirm";

/// Adds the routes.
pub fn configure(routes: &mut Routes, desk: DeadLetterDesk) {
    routes
        .app_data(web::Data::new(desk))
        .service(readable("/dead-letters", list))
        .service(web::resource("/dead-letters/replay").post(replay))
        .service(web::resource("/dead-letters/{key}/replay").post(replay_one))
        .service(web::resource("/dead-letters/{key}").delete(discard));
}

#[derive(Deserialize)]
struct ListQuery {
    limit: Option<String>,
}

async fn list(
    desk: web::Data<DeadLetterDesk>,
    query: web::Query<ListQuery>,
) -> Result<HttpResponse, Problem> {
    let limit = match &query.limit {
        None => LIMIT,
        Some(raw) => raw.parse().ok().filter(|limit| (1..=LIMIT_MOST).contains(limit)).ok_or_else(|| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid limit")
                .detail(format!("limit must be a number from 1 to {LIMIT_MOST}"))
        })?,
    };
    // One more, to know whether there are more.
    let mut letters = to_its_end(async move { desk.list(limit + 1).await }).await?;
    let more = letters.len() > limit;
    letters.truncate(limit);
    let items = letters.into_iter().map(LetterView::from).collect();
    Ok(HttpResponse::Ok().json(ListView { items, more }))
}

async fn replay(
    request: HttpRequest,
    desk: web::Data<DeadLetterDesk>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    let Change { queue, .. } = confirmed(&request, &body)?;
    let replayed = to_its_end(async move { desk.replay(queue.as_deref()).await }).await?;
    Ok(HttpResponse::Ok().json(ReplayView::from(replayed)))
}

async fn replay_one(
    request: HttpRequest,
    desk: web::Data<DeadLetterDesk>,
    key: web::Path<String>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    confirmed(&request, &body)?;
    match to_its_end(async move { desk.replay_one(&key).await }).await? {
        Some(Replayed { replayed: 0, .. }) => Err(Problem::new(StatusCode::CONFLICT, "queue unavailable")
            .detail(
                "the queue that this letter was in is gone or has not confirmed it; the letter stays here, and replaying it \
                 again is harmless even where it has arrived, as long as its consumer remembers it (STORE_INBOX_DAYS)",
            )),
        Some(replayed) => Ok(HttpResponse::Ok().json(ReplayView::from(replayed))),
        None => Err(no_such_letter()),
    }
}

async fn discard(
    request: HttpRequest,
    desk: web::Data<DeadLetterDesk>,
    key: web::Path<String>,
    body: web::Bytes,
) -> Result<HttpResponse, Problem> {
    confirmed(&request, &body)?;
    match to_its_end(async move { desk.discard(&key).await }).await? {
        Some(_) => Ok(HttpResponse::NoContent().finish()),
        None => Err(no_such_letter()),
    }
}

/// What comes with a change.
#[derive(Default, Deserialize)]
struct Change {
    #[serde(default)]
    confirm: bool,
    /// Whose letters are replayed, where not all are.
    queue: Option<String>,
}

/// Reads the body of a change, which has to say that it is meant.
fn confirmed(request: &HttpRequest, body: &[u8]) -> Result<Change, Problem> {
    let change = match body.is_empty() {
        true => Change::default(),
        false => serde_json::from_slice(body).map_err(|error| {
            Problem::new(StatusCode::BAD_REQUEST, "invalid body").detail(error.to_string())
        })?,
    };
    let said = request.headers().get(CONFIRM).is_some_and(|value| value.as_bytes() == b"true");
    if change.confirm || said {
        return Ok(change);
    }
    Err(Problem::new(StatusCode::CONFLICT, "confirmation missing").detail(format!(
        "this changes the dead letters: say {{\"confirm\":true}} in the body, or {CONFIRM}: true in a header"
    )))
}

/// Sees an operation to its end, and its record to the log, also where the client does not wait for the answer.
async fn to_its_end<T: 'static>(
    operation: impl Future<Output = Result<T, DeskError>> + 'static,
) -> Result<T, Problem> {
    let done = actix_web::rt::spawn(operation).await;
    done.map_err(|error| Problem::internal(&error))?.map_err(|error| problem(&error))
}

fn problem(error: &DeskError) -> Problem {
    let (status, what) = match error {
        DeskError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        DeskError::Late => (StatusCode::SERVICE_UNAVAILABLE, "broker too slow"),
        DeskError::Broker(error) if error.is_transient() => (StatusCode::SERVICE_UNAVAILABLE, "broker away"),
        DeskError::Broker(_) => (StatusCode::BAD_GATEWAY, "broker refused"),
    };
    Problem::new(status, what).detail(error.to_string())
}

fn no_such_letter() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "dead letter not found").detail(
        "it was replayed or discarded meanwhile, or somebody else looks at it just now; the list shows what is there",
    )
}

#[derive(Serialize)]
struct ListView {
    items: Vec<LetterView>,
    more: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LetterView {
    key: String,
    id: EventId,
    queue: Option<String>,
    routing_key: String,
    reason: Option<String>,
    attempts: Option<i64>,
    failed_at: Option<Timestamp>,
    headers: Map<String, Value>,
    /// Where it is text, its beginning.
    body: Option<String>,
    /// Where it is none.
    body_base64: Option<String>,
    body_bytes: usize,
}

impl From<DeadLetter> for LetterView {
    fn from(letter: DeadLetter) -> Self {
        let text = text(&letter.body, letter.body_bytes);
        Self {
            key: letter.key,
            id: letter.id,
            queue: letter.queue,
            routing_key: letter.routing_key,
            reason: letter.reason,
            attempts: letter.attempts,
            failed_at: letter.failed_at,
            headers: letter.headers,
            body_base64: text.is_none().then(|| STANDARD.encode(&letter.body)),
            body: text,
            body_bytes: letter.body_bytes,
        }
    }
}

/// The text that these bytes are, or begin with where they are the beginning of something longer.
fn text(bytes: &[u8], whole: usize) -> Option<String> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text.to_owned()),
        // Cut within a character.
        Err(error) if error.error_len().is_none() && bytes.len() < whole => {
            Some(String::from_utf8_lossy(&bytes[..error.valid_up_to()]).into_owned())
        }
        Err(_) => None,
    }
}

#[derive(Serialize)]
struct ReplayView {
    replayed: usize,
    left: usize,
}

impl From<Replayed> for ReplayView {
    fn from(Replayed { replayed, left }: Replayed) -> Self {
        Self { replayed, left }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_text_where_it_is_and_only_there() {
        assert_eq!(text("é".as_bytes(), 2).as_deref(), Some("é"));
        assert_eq!(text(b"x\xc3", 9).as_deref(), Some("x"), "cut within a character");
        assert_eq!(text(b"x\xc3", 2), None, "ends within a character");
        assert_eq!(text(b"x\xffx", 9), None);
        assert_eq!(text(b"", 0).as_deref(), Some(""));
    }
}
