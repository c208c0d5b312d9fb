use common::store::{Page, Query, Snapshot, StoreError, Tables};

use super::{KnownOrder, ORDERS, ORDERS_BY_CUSTOMER, customer_key, find_order::known};
use crate::domain::{CustomerId, OrderId};

/// Lists orders in the order of their ids, which is the order in which they were placed.
#[derive(Clone, Debug)]
pub struct ListOrders {
    /// Only this customer's.
    pub customer: Option<CustomerId>,
    /// Only those after this one.
    pub after: Option<OrderId>,
    /// At most so many.
    pub limit: usize,
}

impl Query for ListOrders {
    type Answer = Page<KnownOrder>;

    fn answer(self, snapshot: &Snapshot) -> Result<Page<KnownOrder>, StoreError> {
        let after = self.after.as_ref().map(OrderId::as_str);
        let Some(customer) = self.customer else {
            let Page { items, more } = snapshot.page(ORDERS, "", after, self.limit)?;
            let items = items.into_iter().map(|(_, order)| known(snapshot, order));
            return Ok(Page { items: items.collect::<Result<_, _>>()?, more });
        };
        let prefix = customer_key(customer.as_str(), "");
        let Page { items: ids, more } = snapshot.page(ORDERS_BY_CUSTOMER, &prefix, after, self.limit)?;
        let mut items = Vec::with_capacity(ids.len());
        for (id, ()) in ids {
            let order = snapshot.get(ORDERS, &id)?.ok_or_else(|| {
                StoreError::Corrupt(format!("orders_by_customer {prefix}{id}: no such order"))
            })?;
            items.push(known(snapshot, order)?);
        }
        Ok(Page { items, more })
    }
}
