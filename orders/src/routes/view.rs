use serde::Serialize;
use utoipa::ToSchema;

use crate::{domain::Order, repository::KnownOrder};

/// An order as `GET` shows it.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = KnownOrder)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderView {
    #[serde(flatten)]
    #[schema(value_type = super::description::Order)]
    order: Order,
    /// The customer's name, once the event that tells it has arrived.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    customer_name: Option<String>,
}

impl From<KnownOrder> for OrderView {
    fn from(KnownOrder { order, customer_name }: KnownOrder) -> Self {
        Self { order, customer_name }
    }
}
