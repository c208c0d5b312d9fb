use std::ops::RangeInclusive;
use std::time::Duration;

use serde_json::json;
use warren::broker::faults::{Control, Effect, Moment, Rule};
use warren::harness::{Broker, Child, Folder, Setup, System, eventually, eventually_equal, private_node};
use warren::service::Service;

use super::{Actors, Ledger, start_services, system};

/// Everything here takes milliseconds; a busy machine gets more.
const DEADLINE: Duration = Duration::from_secs(20);

/// How the orders service calls the connection that it publishes on.
pub const PUBLISHING: &str = "orders publishes";

/// How the users service calls the connection that it consumes on.
pub const CONSUMING: &str = "users consumes";

/// Where users hears of new orders.
const CREATED: &str = "users.order-created";

/// Users and orders with a broker of their own, on which an event is followed from moment to moment.
///
/// There is one user, whose event has arrived; all that happens next is the test's doing. So what the broker was told to do
/// wrong at a moment surely meets the test's event, and the counts at the end prove it.
pub struct Stage {
    /// Without the gateway.
    pub system: System,
    /// The embedded broker.
    pub node: Broker,
    user: String,
    ledger: Ledger,
    /// Last, so that it goes when the broker in it is gone.
    _folder: Folder,
}

impl Stage {
    /// Sets it up.
    pub async fn set() -> Self {
        Self::set_with(|setup| setup).await
    }

    /// Sets it up with services that are different in something.
    pub async fn set_with(adapt: impl FnOnce(Setup) -> Setup) -> Self {
        let folder = Folder::new();
        let node = private_node(&folder).await;
        let setup = system().broker(node.url("/")).env_of_all("DEMO_FAULTS", "true");
        // The defaults are kind to a broker and slow in a test, which asks users again at once after it was killed.
        let setup = setup.env_of_all("BROKER_RECONNECT_MAX_MS", "100");
        let setup = setup.env(Service::Orders, "CUSTOMERS_BREAKER_OPEN_MS", "50");
        let system = start_services(adapt(setup)).await;

        let body = json!({ "name": "Ada", "email": "ada@stage.example" });
        let user = system.users.http.post("/users").json(&body).await.expect(201).json();
        let user = user["id"].as_str().expect("a user has an id").to_owned();
        let heard = async || arrivals(&system.orders, "orders.user-created").await.0;
        eventually(DEADLINE, "the user is heard of", async || match heard().await {
            0 => Err("not yet"),
            _ => Ok(()),
        })
        .await;
        let mut ledger = Ledger::default();
        ledger.users.insert(user.clone(), "Ada".to_owned());
        Self { system, node, user, ledger, _folder: folder }
    }

    /// Gives the broker orders.
    pub fn broker(&self) -> Control {
        self.node.embedded().expect("these stories are told on the embedded broker").control()
    }

    /// Tells the broker what to do wrong at the next such moment of the event: when orders publishes it, or when users
    /// consumes it.
    pub async fn at(&self, moment: Moment, effect: Effect) -> u64 {
        self.times(1, moment, effect).await
    }

    /// The same for so many moments.
    pub async fn times(&self, times: u64, moment: Moment, effect: Effect) -> u64 {
        let is_publish =
            matches!(moment, Moment::PublishReceived | Moment::PublishStored | Moment::ConfirmSent);
        let connection = if is_publish { PUBLISHING } else { CONSUMING };
        let rule = Rule::new(moment, effect).times(times).connection(connection);
        self.broker().rule(rule).await.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Waits until the moment of a rule was hit.
    pub async fn hit(&self, rule: u64) {
        self.hit_times(rule, 1).await;
    }

    /// Waits until it was hit so often.
    pub async fn hit_times(&self, rule: u64, times: u64) {
        let fired = self.broker().wait_fired(rule, times, DEADLINE).await;
        fired.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Waits until the broker has crashed at its moment, and starts it again.
    pub async fn crashed(&self) {
        eventually(DEADLINE, "the broker crashes", async || self.node.exit_status().ok_or("it still runs"))
            .await;
        self.node.start().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Places an order, which is accepted whatever happens to its event. Gives its id.
    pub async fn place(&mut self) -> String {
        let body = json!({ "userId": self.user, "items": ["ink"] });
        let order = self.system.orders.http.post("/orders").json(&body).await.expect(201).json();
        let id = order["id"].as_str().expect("an order has an id").to_owned();
        self.ledger.placed.insert(id.clone(), self.user.clone());
        id
    }

    /// The same, and orders is done with the event before users gets it: a broker that is killed then has one, not two.
    pub async fn place_and_publish(&mut self) {
        let held = self.at(Moment::BeforeDelivery, Effect::Hold).await;
        self.place().await;
        self.hit(held).await;
        self.system.wait_outboxes_empty().await;
        self.broker().release().await.unwrap_or_else(|error| panic!("{error}"));
    }

    /// Cancels an order.
    pub async fn cancel(&mut self, order: &str) {
        self.system.orders.http.post(&format!("/orders/{order}/cancel")).await.expect(200);
        self.ledger.cancelled.insert(order.to_owned());
    }

    /// Waits until so many events wait in the outbox of orders, which are counted just after the answer has left.
    pub async fn pending(&self, events: u32) {
        let pending = async || self.system.orders.metric("orders_outbox_pending").await;
        eventually_equal(DEADLINE, "events in the outbox of orders", Some(events.into()), pending).await;
    }

    /// How many events orders knows to be with the broker, in this life of its relay.
    pub async fn sent(&self) -> u64 {
        let relay = Actors::of(&self.system.orders).await.observed("relay");
        relay["sent"].as_u64().unwrap_or_else(|| panic!("no count in {relay}"))
    }

    /// Waits until orders knows that one more event is with the broker, which its repository does not know.
    pub async fn confirmed_and_not_marked(&self) {
        eventually(DEADLINE, "the confirm has arrived", async || match self.sent().await {
            1 => Ok(()),
            sent => Err(sent),
        })
        .await;
        self.pending(1).await;
    }

    /// How often orders published an event with this outcome, in this life of its process.
    pub async fn outcomes(&self, outcome: &str) -> u64 {
        let text = self.system.orders.internal.get("/metrics").await.expect(200).text();
        let sample = format!("orders_relay_events_total{{outcome=\"{outcome}\"}} ");
        let value = text.lines().find_map(|line| line.strip_prefix(&sample));
        value.map_or(0, |value| value.parse().expect("a count"))
    }

    /// Which generation of its link to the broker a service has.
    pub async fn link(&self, child: &Child) -> u64 {
        Actors::of(child).await.generation("broker")
    }

    /// Waits until orders knows that the broker takes nothing.
    pub async fn blocked(&self) {
        eventually(DEADLINE, "orders is blocked", async || {
            let broker = Actors::of(&self.system.orders).await.observed("broker");
            if broker["link"] == "blocked" { Ok(()) } else { Err(broker.to_string()) }
        })
        .await;
    }

    /// Waits until users has this many deliveries in hand.
    pub async fn in_hand(&self, expected: u64) {
        eventually(DEADLINE, "the deliveries are in hand", async || {
            let broker = Actors::of(&self.system.users).await.observed("broker");
            let consumers = broker["consumers"].as_array().cloned().unwrap_or_default();
            let in_hand: u64 = consumers.iter().filter_map(|consumer| consumer["inProgress"].as_u64()).sum();
            if in_hand == expected { Ok(()) } else { Err(format!("{in_hand}: {broker}")) }
        })
        .await;
    }

    /// Waits until users has applied so many new orders, and has known one of them again so often, in this life of its
    /// consumer.
    pub async fn arrived(&self, applied: u64, seen_before: RangeInclusive<u64>) {
        self.arrived_in(CREATED, applied, seen_before).await;
    }

    /// The same of another queue of users.
    pub async fn arrived_in(&self, queue: &str, applied: u64, seen_before: RangeInclusive<u64>) {
        let what = format!("{queue}: {applied} applied, {seen_before:?} seen before");
        eventually(DEADLINE, &what, async || {
            let (applied_now, seen_now) = arrivals(&self.system.users, queue).await;
            if applied_now == applied && seen_before.contains(&seen_now) {
                Ok(())
            } else {
                Err(format!("{applied_now} and {seen_now}"))
            }
        })
        .await;
    }

    /// Ends the story: so much arrived, the books balance, nothing is on its way, and nothing more arrived meanwhile.
    pub async fn finish(self, applied: u64, seen_before: RangeInclusive<u64>) {
        self.arrived(applied, seen_before.clone()).await;
        self.ledger.audit(&self.system).await;
        let (applied_in_the_end, seen_in_the_end) = arrivals(&self.system.users, CREATED).await;
        assert_eq!(applied_in_the_end, applied, "applied");
        assert!(seen_before.contains(&seen_in_the_end), "seen before: {seen_in_the_end}");
        self.system.finish().await;
    }
}

/// How many events of a queue were applied, and how many were known again.
async fn arrivals(child: &Child, queue: &str) -> (u64, u64) {
    let consumer = Actors::of(child).await.observed(&format!("consumer:{queue}"));
    let count = |name: &str| consumer[name].as_u64().unwrap_or_else(|| panic!("no {name} in {consumer}"));
    (count("applied"), count("seenBefore"))
}
