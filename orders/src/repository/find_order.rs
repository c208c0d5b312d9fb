use common::store::{Query, Snapshot, StoreError, Tables};

use super::{CUSTOMERS, ORDERS};
use crate::domain::{Order, OrderId};

/// Looks up an order by id.
#[derive(Clone, Debug)]
pub struct FindOrder {
    /// Which.
    pub id: OrderId,
}

/// An order and what is known of its customer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownOrder {
    /// The order.
    pub order: Order,
    /// The customer's name, once the users service's event has arrived.
    pub customer_name: Option<String>,
}

impl Query for FindOrder {
    type Answer = Option<KnownOrder>;

    fn answer(self, snapshot: &Snapshot) -> Result<Self::Answer, StoreError> {
        let Some(order) = snapshot.get(ORDERS, self.id.as_str())? else {
            return Ok(None);
        };
        known(snapshot, order).map(Some)
    }
}

/// Adds what is known of the order's customer.
pub(super) fn known(snapshot: &Snapshot, order: Order) -> Result<KnownOrder, StoreError> {
    let customer_name = snapshot.get(CUSTOMERS, order.user_id.as_str())?;
    Ok(KnownOrder { order, customer_name })
}
