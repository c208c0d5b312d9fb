use common::{
    event::Envelope,
    store::{Command, Importance, StoreError, Transaction},
    telemetry::trace::Origin,
};

use super::{ORDERS, ORDERS_BY_CUSTOMER, customer_key};
use crate::{
    SERVICE,
    domain::{CustomerId, Items, Order, OrderId, OrderStatus},
    events::OrderCreated,
};

/// Places an order for a customer who is known to exist. Replies once the order and its event are on disk
/// together, so a crash can lose neither without the other.
#[derive(Clone, Debug)]
pub struct PlaceOrder {
    /// The id to give; the caller makes it.
    pub id: OrderId,
    /// Who orders.
    pub customer: CustomerId,
    /// What is ordered.
    pub items: Items,
    /// The request that asks for it.
    pub origin: Origin,
}

/// The refusal of a command that has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NeverRefused {}

impl Command for PlaceOrder {
    type Outcome = Result<Order, NeverRefused>;

    const IMPORTANCE: Importance = Importance::Request;

    fn execute(self, transaction: &mut Transaction<'_>) -> Result<Self::Outcome, StoreError> {
        let Self { id, customer: user_id, items, origin } = self;
        let created_at = transaction.now();
        let order =
            Order { id, user_id, items, status: OrderStatus::Created, created_at, cancelled_at: None };
        let event = Envelope::wrap(&OrderCreated(order.clone()), SERVICE, created_at, origin)
            .map_err(|error| StoreError::Corrupt(format!("order.created: {error}")))?;

        transaction.put(ORDERS, order.id.as_str(), &order)?;
        let by_customer = customer_key(order.user_id.as_str(), order.id.as_str());
        transaction.put(ORDERS_BY_CUSTOMER, &by_customer, &())?;
        transaction.publish(event)?;
        Ok(Ok(order))
    }
}
