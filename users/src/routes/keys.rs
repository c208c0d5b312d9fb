use actix_web::{
    HttpResponse,
    http::header::{CACHE_CONTROL, ContentType},
    web,
};
use common::http::Problem;

use super::{App, problem::no_signing_key};

/// `GET /.well-known/jwks.json`: 200 with the public keys that tokens verify by (RFC 7517). A key is here for longer
/// before it signs than the answer may be kept.
#[utoipa::path(
    get,
    path = "/.well-known/jwks.json",
    operation_id = "listKeys",
    summary = "The keys that tokens are signed with",
    tag = "sessions",
    responses(
        (status = 200, description = "The keys", body = super::description::KeySet,
            headers(("Cache-Control" = String, description = "For how long they may be kept"))),
        (status = 503, description = "keys unavailable: the service has not read its signing keys yet; send it again"),
    )
)]
pub(super) async fn keys(app: web::Data<App>) -> Result<HttpResponse, Problem> {
    let document = app.keyring.document().ok_or_else(no_signing_key)?;
    Ok(HttpResponse::Ok()
        .content_type(ContentType::json())
        .insert_header((CACHE_CONTROL, format!("public, max-age={}", app.keys_max_age.as_secs())))
        .body(document))
}
