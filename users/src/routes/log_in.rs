use actix_web::{HttpResponse, http::header::CACHE_CONTROL, web};
use common::{
    auth,
    http::{Fields, JsonBody, Problem},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{
    App,
    problem::{no_signing_key, wrong_login},
};
use crate::{
    domain::Email,
    passwords::VerifyPassword,
    repository::{FindLogin, Login},
};

/// What a client sends to log in. Missing fields are named together with wrong ones, so none is required here.
#[derive(Deserialize, ToSchema)]
#[schema(description = "Who logs in.")]
pub(super) struct Credentials {
    #[schema(required = true, nullable = false, value_type = super::description::EmailAddress)]
    email: Option<String>,
    #[schema(required = true, nullable = false, format = Password, min_length = 1, example = "correct horse")]
    password: Option<String>,
}

/// What it gets; the names are those of RFC 6750 as this API writes names.
#[derive(Serialize, ToSchema)]
#[schema(description = "A token, to be sent as `Authorization: Bearer <token>`.")]
#[serde(rename_all = "camelCase")]
pub(super) struct Session {
    /// A JWT, signed by EdDSA.
    token: String,
    #[schema(pattern = "^Bearer$")]
    token_type: &'static str,
    /// In seconds.
    #[schema(minimum = 1)]
    expires_in: u64,
}

/// `POST /users/sessions`: 201 with a token; 401 where address and password are not somebody's, after the same time
/// and with the same words whichever is wrong; 422 naming every field that is missing; 503 while too many passwords
/// wait.
#[utoipa::path(
    post,
    path = "/users/sessions",
    operation_id = "logIn",
    summary = "Log in",
    tag = "sessions",
    request_body = Credentials,
    responses(
        (status = 201, description = "A token", body = Session),
        (status = 401, description = "wrong email or password"),
        (status = 422, description = "invalid fields: email is missing"),
        (status = 503, description = "overloaded: too many passwords wait for their hash\nkeys unavailable: the \
            service has not read its signing keys yet; send it again"),
    )
)]
pub(super) async fn log_in(
    app: web::Data<App>,
    body: JsonBody<Credentials>,
) -> Result<HttpResponse, Problem> {
    let (email, typed) = parse(body.value)?;
    let login = app.repository.read(FindLogin { email }).await?;
    let hash = login.as_ref().and_then(|login| login.password.clone());
    let verified = app.passwords.ask(VerifyPassword { typed, hash }, app.hash_deadline).await??;
    let Some(Login { id, role, .. }) = login.filter(|_| verified) else {
        return Err(wrong_login());
    };
    let role = auth::Role::parse(role.as_str()).ok_or_else(wrong_login)?;
    let now = u64::try_from(Timestamp::now().as_second()).unwrap_or(0);
    let token = app.keyring.token(&app.issuer, id.as_str(), &role, now).ok_or_else(no_signing_key)?;
    let session = Session { token, token_type: "Bearer", expires_in: app.issuer.lifetime.as_secs() };
    Ok(HttpResponse::Created().insert_header((CACHE_CONTROL, "no-store")).json(session))
}

fn parse(Credentials { email, password }: Credentials) -> Result<(Email, String), Problem> {
    let mut fields = Fields::default();
    let email = fields.required("email", email.as_deref(), Email::parse);
    // Any text may be tried: what a password must be like counts when it is chosen.
    let password = fields.required("password", password, |raw| match raw.is_empty() {
        true => Err("must not be empty"),
        false => Ok(raw),
    });
    fields.finish(email.zip(password))
}
