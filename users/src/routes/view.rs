use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::{domain::User, repository::KnownUser};

/// A user as `GET` shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KnownUser)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserView {
    #[serde(flatten)]
    #[schema(value_type = super::description::User)]
    user: User,
    /// How many orders are placed and not cancelled, as far as the events have arrived.
    order_count: u64,
    /// When the latest order was placed.
    #[schema(required = true)]
    last_order_at: Option<Timestamp>,
}

impl From<KnownUser> for UserView {
    fn from(KnownUser { user, orders }: KnownUser) -> Self {
        Self { user, order_count: orders.order_count(), last_order_at: orders.last_order_at() }
    }
}
