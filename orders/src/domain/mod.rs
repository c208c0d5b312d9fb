//! What an order is: plain types and pure functions, which name no library of the outside.

mod items;
mod order;

pub use items::{Items, ItemsError};
pub use order::{CustomerId, Order, OrderId, OrderStatus};
