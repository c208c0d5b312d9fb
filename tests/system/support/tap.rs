//! A queue of the test's own that sees every event.

use std::collections::BTreeSet;

use warren::harness::System;

use super::{Amqp, Message};

const QUEUE: &str = "tap";

/// Gets every event that is published after it was opened.
pub struct Tap(Amqp);

impl Tap {
    /// Opens it once nothing is on its way to the broker.
    pub async fn open(system: &System) -> Self {
        system.wait_outboxes_empty().await;
        let amqp = Amqp::connect(&system.amqp_url).await;
        amqp.declare(QUEUE, "events", &["#"]).await;
        Self(amqp)
    }

    /// How many events wait in it.
    pub async fn count(&self) -> u32 {
        self.0.depth(QUEUE).await.expect("the queue was declared")
    }

    /// Takes all events once nothing is on its way any more, and returns their ids. An event that was published twice,
    /// which it may be when its service is killed, counts once.
    pub async fn ids(&self, system: &System) -> BTreeSet<String> {
        system.wait_outboxes_empty().await;
        let events = self.take(self.count().await as usize).await;
        let id = |event: &Message| event.properties.message_id().as_ref().map(ToString::to_string);
        events.iter().map(|event| id(event).expect("an event has an id")).collect()
    }

    /// Waits for this many events and takes them.
    pub async fn take(&self, count: usize) -> Vec<Message> {
        self.0.take_many(QUEUE, count).await
    }
}
