//! What can be asked of the orders' store: one message a file, with what it does under it.
//!
//! The actor is [`common::store::Repository`]; these are the commands and queries that it carries out.

mod cancel_order;
mod find_order;
mod list_orders;
mod place_order;
mod record_customer;

pub use cancel_order::{CancelOrder, CancelRefused};
pub use find_order::{FindOrder, KnownOrder};
pub use list_orders::ListOrders;
pub use place_order::{NeverRefused, PlaceOrder};
pub use record_customer::{RecordCustomer, Recorded};

use common::store::Table;

use crate::domain::Order;

/// Orders by id.
const ORDERS: Table<Order> = Table::new("orders");

/// The ids of a customer's orders, as [`customer_key`]; the value says nothing.
const ORDERS_BY_CUSTOMER: Table<()> = Table::new("orders_by_customer");

/// The names of customers by id: a read model of the users service's events.
const CUSTOMERS: Table<String> = Table::new("customers");

/// Puts a customer's orders next to each other, in the order of their ids. Ids hold no slash.
fn customer_key(customer: &str, order: &str) -> String {
    format!("{customer}/{order}")
}
