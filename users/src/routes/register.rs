use std::fmt::Display;

use actix_web::{HttpRequest, HttpResponse, http::header::LOCATION, web};
use common::{
    http::{
        Admission, FieldError, IDEMPOTENCY_REPLAYED, JsonBody, Problem, RequestOrigin, Running,
        idempotency_key, used_otherwise,
    },
    store::{Fingerprint, IdempotencyKey, IdempotentWrite, Once},
};
use serde::Deserialize;

use super::{App, problem::invalid_user};
use crate::{
    domain::{Email, Name, Password, User, UserId},
    passwords::{HashPassword, HashSecret},
    repository::RegisterUser,
};

/// What a client sends to register. Missing fields are named together with wrong ones, so none is required here.
#[derive(Deserialize)]
pub(super) struct Registration {
    name: Option<String>,
    email: Option<String>,
    password: Option<String>,
}

struct NewUser {
    name: Name,
    email: Email,
    password: Option<Password>,
}

/// `POST /users`: 201 with the user, once it and its event are on disk; 409 where the address is taken, 422
/// naming every field that is wrong.
pub(super) async fn register(
    request: HttpRequest,
    app: web::Data<App>,
    origin: RequestOrigin,
    body: JsonBody<Registration>,
) -> Result<HttpResponse, Problem> {
    let key = idempotency_key(&request)?;
    let NewUser { name, email, password } = parse(&body.value)?;
    let fingerprint = async |key: &_| fingerprint(&app, key, &body.raw, password.is_some()).await;
    let running = match app.in_progress.admit::<User>(key, fingerprint, &app.repository).await? {
        Admission::Replay(user) => return Ok(created(&user, true)),
        Admission::Fresh(running) => running,
    };
    let password = match password {
        Some(password) => Some(app.passwords.ask(HashPassword(password), app.hash_deadline).await??),
        None => None,
    };
    let command = RegisterUser { id: UserId::fresh(), name, email, password, origin: origin.into() };
    let (key, retention) = (running.as_ref().map(Running::operation), app.idempotency_retention);
    let written = app.repository.write(IdempotentWrite { key, retention, command }).await;
    match written.map_err(Problem::not_written)? {
        Once::Done(user) => Ok(created(&user, false)),
        Once::Replayed(user) => Ok(created(&user, true)),
        Once::OtherRequest => Err(used_otherwise()),
        Once::Refused(email_taken) => Err(email_taken.into()),
    }
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

fn parse(registration: &Registration) -> Result<NewUser, Problem> {
    let mut wrong = Vec::new();
    let name = field(&mut wrong, "name", registration.name.as_deref(), Name::parse);
    let email = field(&mut wrong, "email", registration.email.as_deref(), Email::parse);
    let password = match registration.password.as_deref() {
        None => None,
        password => field(&mut wrong, "password", password, Password::parse),
    };
    match (name, email) {
        (Some(name), Some(email)) if wrong.is_empty() => Ok(NewUser { name, email, password }),
        _ => Err(invalid_user(wrong)),
    }
}

/// Parses one field, or notes what is wrong with it.
fn field<T, E: Display>(
    wrong: &mut Vec<FieldError>,
    name: &'static str,
    raw: Option<&str>,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let parsed = raw.map(parse);
    match parsed {
        Some(Ok(value)) => return Some(value),
        Some(Err(error)) => wrong.push(FieldError::new(name, error.to_string())),
        None => wrong.push(FieldError::new(name, "is missing")),
    }
    None
}

fn created(user: &User, replayed: bool) -> HttpResponse {
    let mut response = HttpResponse::Created();
    response.insert_header((LOCATION, format!("/users/{}", user.id.as_str())));
    if replayed {
        response.insert_header((IDEMPOTENCY_REPLAYED, "true"));
    }
    response.json(user)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_that_is_wrong_is_named_once() {
        let registration =
            Registration { name: Some(" ".to_owned()), email: None, password: Some("short".to_owned()) };
        let mut wrong = Vec::new();

        field(&mut wrong, "name", registration.name.as_deref(), Name::parse);
        field(&mut wrong, "email", registration.email.as_deref(), Email::parse);

        let named: Vec<_> = wrong.iter().map(|error| (&*error.field, &*error.message)).collect();
        assert_eq!(named, [("name", "must not be empty"), ("email", "is missing")]);
        assert_eq!(parse(&registration).err().map(|problem| problem.status().as_u16()), Some(422));
    }
}
