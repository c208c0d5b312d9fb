use std::time::Duration;

use actix_web::http::StatusCode;
use common::http::{CHALLENGE, Problem};

use crate::{passwords::HashError, repository::EmailTaken};

pub(super) fn user_not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "user not found")
}

/// One answer for an unknown address, an account without a password and a wrong password.
pub(super) fn wrong_login() -> Problem {
    Problem::unauthorized("wrong email or password", CHALLENGE)
}

pub(super) fn no_signing_key() -> Problem {
    Problem::no_keys("the service has not read its signing keys yet; send it again")
}

impl From<EmailTaken> for Problem {
    fn from(_: EmailTaken) -> Self {
        Self::new(StatusCode::CONFLICT, "email taken").detail("another user has this email address")
    }
}

impl From<HashError> for Problem {
    fn from(error: HashError) -> Self {
        match error {
            HashError::Busy => Self::new(StatusCode::SERVICE_UNAVAILABLE, "overloaded")
                .detail(error.to_string())
                .retry_after(Duration::from_secs(1)),
            HashError::Broken => Self::internal(&error),
        }
    }
}
