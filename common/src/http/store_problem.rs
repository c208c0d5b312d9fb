use std::time::Duration;

use actix_web::http::StatusCode;

use super::Problem;
use crate::{
    store::{RepositoryError, StoreError},
    supervision::AskError,
};

/// When an actor that restarts, or a queue that is full, is worth another try.
const SOON: Duration = Duration::from_secs(1);

/// When room on the disk or in the outbox is worth another try.
const LATER: Duration = Duration::from_secs(5);

impl From<RepositoryError> for Problem {
    fn from(error: RepositoryError) -> Self {
        if error.is_unknown() {
            log::warn!("event=outcome_unknown error={:?}", error.to_string());
            return unavailable("outcome unknown", SOON).detail(
                "whether the change was made is unknown; send it again with the same Idempotency-Key, or look",
            );
        }
        match error {
            RepositoryError::Ask(error) => error.into(),
            RepositoryError::Store(StoreError::DiskFull) => {
                unavailable("storage full", LATER).detail("the service's disk is nearly full")
            }
            RepositoryError::Store(StoreError::OutboxFull) => unavailable("outbox full", LATER)
                .detail("too many events wait for the broker; nothing was stored"),
            RepositoryError::Store(StoreError::Overloaded) => {
                unavailable("overloaded", SOON).detail("too many commands are waiting; nothing was stored")
            }
            RepositoryError::Store(error) => Self::internal(&error),
        }
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        unavailable("restarting", SOON).detail(error.to_string())
    }
}

fn unavailable(error: &'static str, retry_after: Duration) -> Problem {
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error).retry_after(retry_after)
}
