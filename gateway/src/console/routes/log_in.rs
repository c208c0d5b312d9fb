use std::time::Instant;

use actix_web::{HttpRequest, HttpResponse, http::header::SET_COOKIE, web};
use common::http::{JsonBody, Problem};
use serde::Deserialize;

use super::App;
use crate::console::access::{COOKIE, SESSION_LIFETIME};

/// Who begins a session.
#[derive(Deserialize)]
pub(super) struct LogIn {
    token: String,
}

/// `POST /session`: 204 with the cookie of a session; 401 where it is not the gateway's token, 429 after too many of these.
pub(super) async fn log_in(
    request: HttpRequest,
    app: web::Data<App>,
    body: JsonBody<LogIn>,
) -> Result<HttpResponse, Problem> {
    let peer = request.peer_addr().map(|peer| peer.ip().to_canonical());
    let session = app.access.log_in(peer, &body.value.token, Instant::now())?;
    Ok(HttpResponse::NoContent()
        .insert_header((SET_COOKIE, cookie(&session, SESSION_LIFETIME.as_secs())))
        .finish())
}

/// No script reads it, and no other site's page makes the browser send it. It is forgotten after so many seconds. What the
/// page asks begins in several ways, so its path is no narrower; the public port of the same host, to which browsers send it
/// too, keeps it from the services.
pub(super) fn cookie(session: &str, seconds: u64) -> String {
    format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age={seconds}")
}
