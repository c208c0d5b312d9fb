use std::time::Duration;

use actix_web::http::StatusCode;
use common::http::Problem;

use crate::{passwords::HashError, repository::EmailTaken};

pub(super) fn user_not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "user not found")
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
