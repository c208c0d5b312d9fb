//! The events that this service publishes and the ones that it listens to.
//!
//! The bodies are plain JSON. What is read here is less than what is sent there: a consumer asks only for what
//! it needs, so that publishers may add to their events.

use common::event::Event;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::domain::User;

/// Published when a user has registered. Never holds a password in any form.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UserCreated(pub User);

impl Event for UserCreated {
    const TYPE: &'static str = "user.created";

    fn aggregate(&self) -> &str {
        self.0.id.as_str()
    }
}

/// Heard when an order was placed.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCreated {
    /// The order.
    pub id: String,
    /// Who placed it.
    pub user_id: String,
    /// When; publishers outside Warren may leave it out.
    pub created_at: Option<Timestamp>,
}

impl OrderCreated {
    /// The type that it arrives under.
    pub const TYPE: &'static str = "order.created";
}

/// Heard when an order was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCancelled {
    /// The order.
    pub id: String,
    /// Who had placed it.
    pub user_id: String,
}

impl OrderCancelled {
    /// The type that it arrives under.
    pub const TYPE: &'static str = "order.cancelled";
}
