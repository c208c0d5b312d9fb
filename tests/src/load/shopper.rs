//! One customer.

use std::time::Instant;

use fastrand::Rng;
use serde_json::{Value, json};
use uuid::Uuid;

use super::Door;
use super::ledger::SharedLedger;
use super::wish::{Wish, wish};

/// Registers, orders and cancels at one door, and writes down what it was told.
pub struct Shopper {
    pub(super) door: Door,
    pub(super) ledger: SharedLedger,
    pub(super) rng: Rng,
}

impl Shopper {
    /// Registers under a new name and returns the id, if that was granted.
    pub async fn register(&self) -> Option<String> {
        let name = format!("Shopper {}", Uuid::now_v7().simple());
        let body = json!({ "name": name, "email": format!("{}@example.com", Uuid::now_v7().simple()) });
        let Wish::Granted(user) =
            wish(&self.door, &self.ledger, |door| door.post_users("/users").json(&body)).await
        else {
            return None;
        };
        let id = self.id_of(&user)?;
        self.ledger.lock().users.insert(id.clone(), name);
        Some(id)
    }

    /// Orders something for the user, and returns the order's id if that was granted.
    pub async fn order(&self, user: &str, number: usize) -> Option<String> {
        let body = json!({ "userId": user, "items": [format!("item {number}")] });
        let begun = Instant::now();
        let Wish::Granted(order) =
            wish(&self.door, &self.ledger, |door| door.post_orders("/orders").json(&body)).await
        else {
            return None;
        };
        let id = self.id_of(&order)?;
        self.ledger.lock().accepted(id.clone(), user.to_owned(), begun);
        Some(id)
    }

    /// Cancels an order of its own.
    pub async fn cancel(&self, id: String) {
        let path = format!("/orders/{id}/cancel");
        if let Wish::Granted(order) = wish(&self.door, &self.ledger, |door| door.post_orders(&path)).await {
            let mut ledger = self.ledger.lock();
            if order["status"] != "cancelled" {
                ledger.contradictions.push(format!("a cancelled order is none: {order}"));
            }
            ledger.cancelled.insert(id);
        }
    }

    fn id_of(&self, resource: &Value) -> Option<String> {
        let id = resource["id"].as_str().map(str::to_owned);
        if id.is_none() {
            self.ledger.lock().contradictions.push(format!("no id in {resource}"));
        }
        id
    }
}
