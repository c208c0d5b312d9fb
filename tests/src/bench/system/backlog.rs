use std::error::Error;
use std::time::{Duration, Instant};

use common::broker::{BrokerConfig, Yardstick};
use serde_json::json;

use super::orders;
use super::running::{Running, until};

/// What the relay gives to the broker unconfirmed: four batches of 256.
const WINDOW: usize = 1024;

/// What became of the events that waited for the broker.
pub(super) struct Backlog {
    /// How many waited.
    pub events: u64,
    /// From the link of orders to its empty outbox.
    pub drained: Duration,
    /// From the start of the users service to the last count.
    pub counted: Duration,
    /// What a publisher that does nothing else takes for as many.
    pub bare: Duration,
}

/// Takes the broker away, places orders, and gives it back.
///
/// The users service is away meanwhile, so that broker and processor do in both cases the same: take messages and keep
/// them. The bare publisher takes its turn before and after, and the mean counts.
pub(super) async fn measure(system: &mut Running, outage: Duration) -> Result<Backlog, Box<dyn Error>> {
    system.settle().await?;
    let counted_before = system.order_count("u1").await?;
    system.node.shut_down().await;
    orders::as_fast_as_taken(system, outage, false, None).await?;
    let events = system.waiting().await?;
    system.stop_users();

    system.node.start().await?;
    until("orders is linked to the broker", async || match system.is_linked().await? {
        true => Ok(()),
        false => Err("it is not".to_owned()),
    })
    .await?;
    let linked = Instant::now();
    until("the outbox is empty", async || match system.waiting().await? {
        0 => Ok(()),
        waiting => Err(format!("{waiting} events wait")),
    })
    .await?;
    let drained = linked.elapsed();

    let before = bare(system, events).await?;
    let started = Instant::now();
    system.restart_users().await?;
    until("each order is counted", async || match system.order_count("u1").await? - counted_before {
        counted if counted >= events => Ok(()),
        counted => Err(format!("{counted} of {events}")),
    })
    .await?;
    let counted = started.elapsed();
    system.stop_users();
    let after = bare(system, events).await?;
    Ok(Backlog { events, drained, counted, bare: (before + after) / 2 })
}

async fn bare(system: &Running, events: u64) -> Result<Duration, Box<dyn Error>> {
    let order = json!({
        "id": "01929d3e-0000-7000-8000-000000000000",
        "userId": "u1",
        "items": ["item 0000000000000000"],
        "status": "created",
        "createdAt": "2026-01-01T00:00:00.000000Z",
    });
    let body = serde_json::value::to_raw_value(&order)?;
    let yardstick = Yardstick { messages: usize::try_from(events)?, window: WINDOW, body };
    Ok(yardstick.measure(&BrokerConfig::for_url(&system.node.url("/"))?).await?)
}
