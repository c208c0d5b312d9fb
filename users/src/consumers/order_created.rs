use std::time::Duration;

use common::{
    broker::Delivery,
    consumer::{EventHandler, Verdict},
};

use super::verdict;
use crate::{
    domain::UserId,
    events::OrderCreated,
    repository::{OrderChange, RecordOrder, Recorded},
};

/// Counts an order at its user.
#[derive(Clone, Copy, Debug)]
pub struct OnOrderCreated {
    /// How long an event is recognised when it comes again.
    pub retention: Duration,
}

impl EventHandler for OnOrderCreated {
    type Event = OrderCreated;
    type Command = RecordOrder;

    const QUEUE: &'static str = "users.order-created";
    const TYPE: &'static str = OrderCreated::TYPE;

    fn command(&self, event: OrderCreated, delivery: &Delivery) -> RecordOrder {
        RecordOrder {
            event: delivery.id.clone(),
            queue: Self::QUEUE,
            retention: self.retention,
            user: UserId::given(event.user_id),
            change: OrderChange::Placed(event.created_at.or(delivery.time)),
        }
    }

    fn verdict(&self, recorded: Recorded) -> Verdict {
        verdict(recorded)
    }
}
