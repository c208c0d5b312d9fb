use actix_web::http::StatusCode;
use common::http::Problem;

use crate::{
    customers::CustomersUnavailable,
    repository::{CancelRefused, NeverRefused},
};

pub(super) fn order_not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "order not found")
}

/// The order, or what is asked of it, is another customer's.
pub(super) fn not_yours() -> Problem {
    Problem::forbidden("these are another user's orders")
}

/// The customer does not exist.
pub(super) fn invalid_user() -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, "invalid user").detail("no user has this id")
}

impl From<CustomersUnavailable> for Problem {
    fn from(error: CustomersUnavailable) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "users unavailable")
            .detail(format!("{error}, so the customer cannot be checked; nothing was stored"))
            .retry_after(error.retry_after)
    }
}

impl From<CancelRefused> for Problem {
    fn from(refused: CancelRefused) -> Self {
        match refused {
            CancelRefused::NotFound => order_not_found(),
            CancelRefused::NotTheirs => not_yours(),
            CancelRefused::AlreadyCancelled => Self::new(StatusCode::CONFLICT, "order already cancelled"),
        }
    }
}

impl From<NeverRefused> for Problem {
    fn from(refused: NeverRefused) -> Self {
        match refused {}
    }
}
