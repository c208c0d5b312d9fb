use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Items;

/// Identifies an order: a UUID version 7, so that ids sort by time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderId(String);

impl OrderId {
    /// Makes a new id.
    pub fn fresh() -> Self {
        Self(Uuid::now_v7().to_string())
    }

    /// Takes an id from elsewhere; it may or may not be an order's.
    pub fn given(id: impl Into<String>) -> Self {
        Self(id.into())
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Identifies who orders, at the users service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct CustomerId(String);

impl CustomerId {
    /// Longest id that can be anybody's, in bytes.
    pub const LONGEST: usize = 64;

    /// Takes an id from elsewhere; the users service knows whether it is anybody's. Returns `None` where it
    /// cannot be: ids are 1 to 64 of the characters that a URL carries as they are (RFC 3986 section 2.3).
    pub fn parse(raw: &str) -> Option<Self> {
        let unreserved = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        let dots = raw == "." || raw == "..";
        let sound = (1..=Self::LONGEST).contains(&raw.len()) && raw.bytes().all(unreserved) && !dots;
        sound.then(|| Self(raw.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// An order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// Identifies the order.
    pub id: OrderId,
    /// Who placed it.
    pub user_id: CustomerId,
    /// What is ordered.
    pub items: Items,
    /// Where it stands.
    pub status: OrderStatus,
    /// When it was placed.
    pub created_at: Timestamp,
    /// When it was cancelled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cancelled_at: Option<Timestamp>,
}

/// Where an order stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OrderStatus {
    /// Placed.
    Created,
    /// Cancelled, for good.
    Cancelled,
}

impl Order {
    /// Cancels the order at `now`, or returns `None` where it is cancelled already.
    pub fn cancel(self, now: Timestamp) -> Option<Self> {
        match self.status {
            OrderStatus::Created => {
                Some(Self { status: OrderStatus::Cancelled, cancelled_at: Some(now), ..self })
            }
            OrderStatus::Cancelled => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_order_is_cancelled_once() {
        let order = Order {
            id: OrderId::fresh(),
            user_id: CustomerId::parse("u1").expect("an id"),
            items: Items::parse(&["book".to_owned()]).expect("an item"),
            status: OrderStatus::Created,
            created_at: Timestamp::UNIX_EPOCH,
            cancelled_at: None,
        };

        let cancelled = order.cancel(Timestamp::UNIX_EPOCH).expect("it was not cancelled before");

        assert_eq!(cancelled.status, OrderStatus::Cancelled);
        assert_eq!(cancelled.cancel(Timestamp::UNIX_EPOCH), None);
    }

    #[test]
    fn an_id_that_could_mean_another_path_is_nobodys() {
        assert!(CustomerId::parse("u1").is_some());
        for raw in ["", "..", ".", "u1/orders", "u1?x", "u%31", "ü", &"x".repeat(65)] {
            assert_eq!(CustomerId::parse(raw), None, "{raw:?}");
        }
    }
}
