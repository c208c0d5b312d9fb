use serde::Serialize;

use crate::{domain::Order, repository::KnownOrder};

/// An order as `GET` shows it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct OrderView {
    #[serde(flatten)]
    order: Order,
    #[serde(skip_serializing_if = "Option::is_none")]
    customer_name: Option<String>,
}

impl From<KnownOrder> for OrderView {
    fn from(KnownOrder { order, customer_name }: KnownOrder) -> Self {
        Self { order, customer_name }
    }
}
