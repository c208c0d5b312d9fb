use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web};
use common::{
    http::{Carried, Fields, IdempotencyKeyParam, JsonBody, Problem, RequestOrigin},
    store::{Fingerprint, IdempotencyKey},
};
use serde::Deserialize;
use utoipa::ToSchema;

use super::App;
use crate::{
    domain::{Email, Name, Password, User, UserId},
    passwords::{HashPassword, HashSecret},
    repository::RegisterUser,
};

/// What a client sends to register. Missing fields are named together with wrong ones, so none is required here.
#[derive(Deserialize, ToSchema)]
#[schema(description = "Who registers.")]
pub(super) struct Registration {
    /// Of 1 to 200 characters, none of them a control character; white space around it does not count.
    #[schema(
        required = true,
        nullable = false,
        min_length = 1,
        max_length = 200,
        example = "Grace",
        pattern = r"^[\s\x85]*[^\s\x00-\x1f\x7f-\x9f]([^\x00-\x1f\x7f-\x9f]*[^\s\x00-\x1f\x7f-\x9f])?[\s\x85]*$"
    )]
    name: Option<String>,
    /// Unique among users, without regard to case.
    #[schema(required = true, nullable = false, value_type = super::description::EmailAddress)]
    email: Option<String>,
    /// Of 8 to 128 characters, whatever they are. Who has none cannot log in.
    #[schema(format = Password, min_length = 8, max_length = 128, example = "correct horse")]
    password: Option<String>,
}

struct NewUser {
    name: Name,
    email: Email,
    password: Option<Password>,
}

/// `POST /users`: 201 with the user, once it and its event are on disk; 409 where the address is taken, 422
/// naming every field that is wrong.
#[utoipa::path(
    post,
    path = "/users",
    operation_id = "registerUser",
    summary = "Register a user",
    tag = "users",
    params(IdempotencyKeyParam),
    request_body = Registration,
    responses(
        (status = 201, description = "The user, on disk", body = super::description::User,
            headers(("Location" = String, description = "Where the user is"))),
        (status = 409, description = "email taken: another user has this email address"),
        (status = 422, description = "invalid fields: email must be an address such as ada@example.com"),
    )
)]
pub(super) async fn register(
    request: HttpRequest,
    app: web::Data<App>,
    origin: RequestOrigin,
    body: JsonBody<Registration>,
) -> Result<HttpResponse, Problem> {
    let NewUser { name, email, password } = parse(body.value)?;
    let secret = password.is_some();
    let fingerprint = async |key: &_| fingerprint(&app, key, &body.raw, secret).await;
    let command = async || {
        let password = match password {
            Some(password) => Some(app.passwords.ask(HashPassword(password), app.hash_deadline).await??),
            None => None,
        };
        Ok(RegisterUser { id: UserId::fresh(), name, email, password, origin: origin.into() })
    };
    let registered: Carried<User> = app.writes.carry_out(&request, fingerprint, command).await?;
    let mut created = HttpResponse::Created();
    created.insert_header((LOCATION, format!("/users/{}", registered.outcome.id.as_str())));
    Ok(registered.answer(created))
}

/// A fingerprint is kept for a day, so one that covers a password must be as hard to guess back as its hash.
async fn fingerprint(
    app: &App,
    key: &IdempotencyKey,
    body: &[u8],
    secret: bool,
) -> Result<Fingerprint, Problem> {
    if !secret {
        return Ok(Fingerprint::of(body));
    }
    let salt = Fingerprint::of(key.0.as_bytes()).0.into_bytes();
    let hash = HashSecret { secret: body.to_vec(), salt };
    Ok(Fingerprint::of(&app.passwords.ask(hash, app.hash_deadline).await??))
}

fn parse(Registration { name, email, password }: Registration) -> Result<NewUser, Problem> {
    let mut fields = Fields::default();
    let name = fields.required("name", name.as_deref(), Name::parse);
    let email = fields.required("email", email.as_deref(), Email::parse);
    let password = match password.as_deref() {
        None => None,
        password => fields.required("password", password, Password::parse),
    };
    fields.finish(name.zip(email)).map(|(name, email)| NewUser { name, email, password })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named() {
        let registration =
            Registration { name: Some(" ".to_owned()), email: None, password: Some("short".to_owned()) };

        let problem = parse(registration).err().expect("three fields are wrong");

        assert_eq!(problem.status(), 422);
        let said = format!("{problem:?}");
        for field in ["name", "email", "password"] {
            assert!(said.contains(field), "{field} in {said}");
        }
    }
}
