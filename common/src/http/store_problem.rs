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

impl Problem {
    /// What a client is told when a command was not carried out, or nobody knows whether it was.
    ///
    /// The status tells the two apart: after a 503 nothing was changed and sending again is safe; after a 500 that
    /// takes the same Idempotency-Key.
    pub fn not_written(error: RepositoryError) -> Self {
        if !error.is_unknown() {
            return Self::from(error);
        }
        log::warn!("event=outcome_unknown error={:?}", error.to_string());
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "outcome unknown").retry_after(SOON).detail(
            "whether the change was made is unknown; send it again with the same Idempotency-Key, or look",
        )
    }
}

/// Why a query was not answered, or a command not carried out.
impl From<RepositoryError> for Problem {
    fn from(error: RepositoryError) -> Self {
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
            RepositoryError::Store(error @ StoreError::Restarting) => {
                unavailable("restarting", SOON).detail(error.to_string())
            }
            RepositoryError::Store(
                error @ (StoreError::Io(_) | StoreError::NoRoom(_) | StoreError::Unknown),
            ) => {
                log::warn!("event=store_failed error={:?}", error.to_string());
                unavailable("restarting", SOON).detail("the repository starts again from what is on disk")
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
