//! The events that this service publishes and the ones that it listens to.
//!
//! The bodies are plain JSON. What is read here is less than what is sent there: a consumer asks only for what
//! it needs, so that publishers may add to their events.

use common::event::Event;
use serde::{Deserialize, Serialize};

use crate::domain::Order;

/// Published when an order was placed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderCreated(pub Order);

impl Event for OrderCreated {
    const TYPE: &'static str = "order.created";

    fn aggregate(&self) -> &str {
        self.0.id.as_str()
    }

    fn about(&self) -> Vec<&str> {
        vec![self.0.id.as_str(), self.0.user_id.as_str()]
    }
}

/// Published when an order was cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OrderCancelled(pub Order);

impl Event for OrderCancelled {
    const TYPE: &'static str = "order.cancelled";

    fn aggregate(&self) -> &str {
        self.0.id.as_str()
    }

    fn about(&self) -> Vec<&str> {
        vec![self.0.id.as_str(), self.0.user_id.as_str()]
    }
}

/// Heard when a user has registered.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UserCreated {
    /// The user.
    pub id: String,
    /// What the user is called.
    pub name: String,
}

impl UserCreated {
    /// The type that it arrives under.
    pub const TYPE: &'static str = "user.created";
}
