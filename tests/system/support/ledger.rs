//! What the world was promised, and whether the system keeps it to the last order.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use warren::harness::{Child, System, eventually};
use warren::note;

use super::{Actors, Amqp};

/// Longer than a retry or two, after a reconnect.
const SETTLE: Duration = Duration::from_secs(40);

/// Where events wait between the services.
const QUEUES: [&str; 6] = [
    "users.order-created",
    "users.order-cancelled",
    "orders.user-created",
    "events.retry.1000ms",
    "events.retry.5000ms",
    "events.retry.25000ms",
];

/// What clients were told.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// Users who were registered, by id, and their names.
    pub users: BTreeMap<String, String>,
    /// Orders that were accepted, by id, and whose they are.
    pub placed: BTreeMap<String, String>,
    /// Which of them were cancelled.
    pub cancelled: BTreeSet<String>,
    /// How often something was refused, by the answer.
    pub refused: BTreeMap<String, u64>,
    /// How often nobody knew what had happened, by the reason.
    pub unknown: BTreeMap<String, u64>,
    /// How often nobody listened.
    pub not_connected: BTreeMap<String, u64>,
    /// The longest time from the wish for an order to its acceptance.
    pub slowest: Duration,
}

impl Ledger {
    /// Asserts that every wish was granted at the first attempt.
    #[track_caller]
    pub fn assert_untroubled(&self) {
        assert!(self.refused.is_empty(), "refused: {:?}", self.refused);
        assert!(self.unknown.is_empty(), "unknown: {:?}", self.unknown);
        assert!(self.not_connected.is_empty(), "not connected: {:?}", self.not_connected);
    }

    /// Prints what clients were told.
    pub fn print(&self, story: &str) {
        note!(
            "{story}: {} orders, {} cancelled, {} users, slowest {:?}; refused {:?}; unknown {:?}; not connected {:?}",
            self.placed.len(),
            self.cancelled.len(),
            self.users.len(),
            self.slowest,
            self.refused,
            self.unknown,
            self.not_connected,
        );
    }

    /// Checks to the last order that the system holds what clients were told, and nothing else:
    ///
    /// - the orders service has exactly the accepted orders of each user, and exactly the cancelled ones are;
    /// - each user's `orderCount` is exactly what was accepted less what was cancelled, when no event is on its way any
    ///   more: not in an outbox, not in a queue, and not in a consumer's hands;
    /// - the orders service has heard the name of each user who ordered.
    ///
    /// # Panics
    ///
    /// When one of these does not hold within 40 s.
    pub async fn audit(&self, system: &System) {
        assert!(!self.placed.is_empty(), "an audit of nothing proves nothing");
        self.audit_orders(system).await;
        self.audit_counts(system).await;
    }

    async fn audit_orders(&self, system: &System) {
        let mut stored = BTreeMap::new();
        for (user, name) in &self.users {
            for order in orders_of(system, user).await {
                let id = text(&order, "id");
                let is_cancelled = text(&order, "status") == "cancelled";
                assert_eq!(is_cancelled, self.cancelled.contains(&id), "{order}");
                stored.insert(id, user.clone());
            }
            if stored.values().any(|owner| owner == user) {
                eventually(SETTLE, "the name of the customer is heard", async || {
                    let heard =
                        orders_of(system, user).await.iter().all(|order| order["customerName"] == **name);
                    if heard { Ok(()) } else { Err(format!("{name} is not known everywhere")) }
                })
                .await;
            }
        }
        let lost: Vec<_> = self.placed.keys().filter(|id| !stored.contains_key(*id)).collect();
        let invented: Vec<_> = stored.keys().filter(|id| !self.placed.contains_key(*id)).collect();
        assert!(lost.is_empty(), "{} accepted orders are lost: {lost:?}", lost.len());
        assert!(invented.is_empty(), "{} orders were refused and are there: {invented:?}", invented.len());
    }

    async fn audit_counts(&self, system: &System) {
        let mut expected: BTreeMap<&str, i64> = self.users.keys().map(|user| (user.as_str(), 0)).collect();
        for (order, user) in &self.placed {
            *expected.entry(user).or_default() += i64::from(!self.cancelled.contains(order));
        }

        let amqp = Amqp::connect(&system.amqp_url).await;
        eventually(SETTLE, "every order is counted once, and nothing is on its way", async || {
            // First, because what is counted after this is too late.
            let under_way = under_way(system, &amqp).await;
            let mut wrong = Vec::new();
            for (user, expected) in &expected {
                let counted = order_count(system, user).await;
                if counted != *expected {
                    wrong.push(format!("{user} has {counted} instead of {expected}"));
                }
            }
            match (under_way.is_empty(), wrong.is_empty()) {
                (true, true) => Ok(()),
                _ => Err(format!("{}; on their way: {}", wrong.join(", "), under_way.join(", "))),
            }
        })
        .await;
    }
}

/// Says where events are on their way: in an outbox, in a queue, in the hands of a consumer.
pub async fn under_way(system: &System, amqp: &Amqp) -> Vec<String> {
    let mut found = Vec::new();
    for (child, metric) in
        [(&system.users, "users_outbox_pending"), (&system.orders, "orders_outbox_pending")]
    {
        match child.metric(metric).await {
            Some(0.0) => {}
            pending => found.push(format!("{metric} {pending:?}")),
        }
    }
    for queue in QUEUES {
        match amqp.depth(queue).await {
            Some(0) => {}
            depth => found.push(format!("{queue} {depth:?}")),
        }
    }
    for child in [&system.users, &system.orders] {
        found.extend(in_hands(child).await);
    }
    found
}

async fn in_hands(child: &Child) -> Option<String> {
    let broker = Actors::of(child).await.observed("broker");
    let consumers = broker["consumers"].as_array().cloned().unwrap_or_default();
    let in_progress: u64 = consumers.iter().filter_map(|consumer| consumer["inProgress"].as_u64()).sum();
    (consumers.is_empty() || in_progress > 0).then(|| format!("{} in hand: {broker}", child.service()))
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

fn text(order: &Value, field: &str) -> String {
    order[field].as_str().unwrap_or_else(|| panic!("no {field} in {order}")).to_owned()
}
