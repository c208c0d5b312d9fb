use std::time::Duration;

use common::{
    broker::Delivery,
    consumer::{EventHandler, Verdict},
};

use super::verdict;
use crate::{
    domain::UserId,
    events::OrderCancelled,
    repository::{OrderChange, RecordOrder, Recorded},
};

/// Takes a cancelled order off its user's count.
#[derive(Clone, Copy, Debug)]
pub struct OnOrderCancelled {
    /// How long an event is recognised when it comes again.
    pub retention: Duration,
}

impl EventHandler for OnOrderCancelled {
    type Event = OrderCancelled;
    type Command = RecordOrder;

    const QUEUE: &'static str = "users.order-cancelled";
    const TYPE: &'static str = OrderCancelled::TYPE;

    fn command(&self, event: OrderCancelled, delivery: &Delivery) -> RecordOrder {
        RecordOrder {
            event: delivery.id.clone(),
            queue: Self::QUEUE,
            retention: self.retention,
            user: UserId::given(event.user_id),
            change: OrderChange::Cancelled,
        }
    }

    fn verdict(&self, recorded: Recorded) -> Verdict {
        verdict(recorded)
    }
}
