use jiff::Timestamp;
use serde::Serialize;

use crate::{domain::User, repository::KnownUser};

/// A user as `GET` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct UserView {
    #[serde(flatten)]
    user: User,
    order_count: u64,
    last_order_at: Option<Timestamp>,
}

impl From<KnownUser> for UserView {
    fn from(KnownUser { user, orders }: KnownUser) -> Self {
        Self { user, order_count: orders.order_count(), last_order_at: orders.last_order_at() }
    }
}
