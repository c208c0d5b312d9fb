use common::{
    event::Envelope,
    store::{Command, Importance, StoreError, Tables, Transaction},
    telemetry::trace::Origin,
};

use super::ORDERS;
use crate::{
    SERVICE,
    domain::{CustomerId, Order, OrderId},
    events::OrderCancelled,
};

/// Cancels an order, once. Replies when the change and its event are on disk together.
#[derive(Clone, Debug)]
pub struct CancelOrder {
    /// Which order.
    pub id: OrderId,
    /// Only where it is this customer's.
    pub only: Option<CustomerId>,
    /// The request that asks for it.
    pub origin: Origin,
}

/// Why an order was not cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelRefused {
    /// No order has this id.
    NotFound,
    /// It is another customer's.
    NotTheirs,
    /// It was cancelled before.
    AlreadyCancelled,
}

impl Command for CancelOrder {
    type Outcome = Result<Order, CancelRefused>;

    const IMPORTANCE: Importance = Importance::Request;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Self::Outcome, StoreError> {
        let Some(order) = transaction.get(ORDERS, self.id.as_str())? else {
            return Ok(Err(CancelRefused::NotFound));
        };
        if self.only.is_some_and(|customer| customer != order.user_id) {
            return Ok(Err(CancelRefused::NotTheirs));
        }
        let now = transaction.now();
        let Some(order) = order.cancel(now) else {
            return Ok(Err(CancelRefused::AlreadyCancelled));
        };
        let event = Envelope::wrap(&OrderCancelled(order.clone()), SERVICE, now, self.origin)
            .map_err(|error| StoreError::Corrupt(format!("order.cancelled: {error}")))?;

        transaction.put(ORDERS, order.id.as_str(), &order)?;
        transaction.publish(event)?;
        Ok(Ok(order))
    }
}
