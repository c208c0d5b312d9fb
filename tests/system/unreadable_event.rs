//! A row of the outbox that cannot be read stays in it, is told of, and holds up none behind it.

use std::time::Duration;

use redb::{Database, TableDefinition};
use serde_json::{Value, json};
use warren::harness::{System, eventually_equal, shared_vhost};
use warren::ports;
use warren::service::Service;

use crate::support::{order_count, system};

const OUTBOX: TableDefinition<u64, &[u8]> = TableDefinition::new("outbox");

async fn an_event_that_cannot_be_read_holds_up_none_behind_it_and_leaves_once_it_can_be_read() {
    let url = shared_vhost().await;
    let nobody = format!("amqp://127.0.0.1:{}", ports::free());
    let system = system().env(Service::Orders, "AMQP_URL", &nobody).broker(&url).prepare().await;
    let orders = &system.orders;
    system.users.restart().await;
    orders.restart().await;
    for _ in 0..3 {
        place_order(&system).await;
    }
    assert_eq!(orders.terminate().await.code(), Some(0));

    let row = exchange_row(&system, 2, b"damaged");
    orders.set_env("AMQP_URL", &url);
    orders.restart().await;

    let counted = async || order_count(&system, "u1").await;
    eventually_equal(Duration::from_secs(20), "the others are counted", 2, counted).await;
    place_order(&system).await;
    eventually_equal(Duration::from_secs(10), "what comes later is counted", 3, counted).await;
    let waiting = async || orders.metric("orders_outbox_pending").await;
    eventually_equal(Duration::from_secs(10), "one row stays", Some(1.0), waiting).await;
    assert_eq!(orders.metric("orders_outbox_unreadable").await, Some(1.0));
    assert_eq!(observed_unreadable(&system).await, 1);
    let readiness = orders.http.get("/health/ready").await.expect(200).json();
    let degraded =
        json!({ "status": "degraded", "reasons": ["outbox: rows that cannot be read and stay: 1"] });
    assert_eq!(readiness, degraded);
    assert_eq!(orders.terminate().await.code(), Some(0));
    assert_eq!(orders.log_count("event=outbox_rows_unreadable rows=1 numbers=[2]"), 1, "{}", orders.log());
    assert_eq!(orders.log_count("event=cannot_read_outbox"), 0, "{}", orders.log());

    assert_eq!(exchange_row(&system, 2, &row), b"damaged");
    orders.restart().await;

    eventually_equal(Duration::from_secs(20), "it is counted as well", 4, counted).await;
    orders.wait_not_degraded().await;
    system.finish().await;
}

async fn place_order(system: &System) {
    let order = json!({ "userId": "u1", "items": ["book"] });
    system.orders.http.post("/orders").json(&order).await.expect(201);
}

/// Puts other bytes into a row of the outbox of orders, which does not run; returns those that were there.
fn exchange_row(system: &System, number: u64, bytes: &[u8]) -> Vec<u8> {
    let file = system.folder().path().join("orders/orders.redb");
    let database = Database::open(file).expect("orders has ended");
    let transaction = database.begin_write().expect("the file is sound");
    let before = {
        let mut outbox = transaction.open_table(OUTBOX).expect("there is an outbox");
        let before = outbox.insert(number, bytes).expect("the disk has room").map(|row| row.value().to_vec());
        before.expect("the row is there")
    };
    transaction.commit().expect("the disk has room");
    before
}

/// How many rows the relay says it cannot read.
async fn observed_unreadable(system: &System) -> Value {
    let report = system.orders.actors().await;
    let actors = report["actors"].as_array().unwrap_or_else(|| panic!("no actors in {report}"));
    let relay = actors.iter().find(|actor| actor["name"] == "relay").unwrap_or_else(|| panic!("{report}"));
    relay["observed"]["unreadable"].clone()
}

warren::stories! {
    on the embedded broker:
        an_event_that_cannot_be_read_holds_up_none_behind_it_and_leaves_once_it_can_be_read;
}
