//! What the services hold.

use serde_json::Value;
use warren::harness::System;

use super::Amqp;

/// Says where events are on their way: in an outbox, in a queue, in the hands of a consumer.
pub async fn under_way(system: &System, amqp: &Amqp) -> Vec<String> {
    warren::load::under_way(system, async |queue| amqp.depth(queue).await).await
}

/// What the users service counts.
///
/// # Panics
///
/// When it does not answer.
pub async fn order_count(system: &System, user: &str) -> i64 {
    let answer = system.users.http.get(&format!("/users/{user}")).await.expect(200).json();
    answer["orderCount"].as_i64().unwrap_or_else(|| panic!("no orderCount in {answer}"))
}

/// All orders of a user, page by page.
///
/// # Panics
///
/// When the orders service does not answer.
pub async fn orders_of(system: &System, user: &str) -> Vec<Value> {
    let mut orders = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/orders?userId={user}&limit=100{cursor}");
        let page = system.orders.http.get(&path).await.expect(200).json();
        orders.extend(page["items"].as_array().cloned().unwrap_or_default());
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return orders,
        }
    }
}
