use std::time::Duration;

use common::{
    broker::Delivery,
    consumer::{EventHandler, Verdict},
};

use crate::{
    events::UserCreated,
    repository::{RecordCustomer, Recorded},
};

/// Keeps the names of customers.
#[derive(Clone, Copy, Debug)]
pub struct OnUserCreated {
    /// How long an event is recognised when it comes again.
    pub retention: Duration,
}

impl EventHandler for OnUserCreated {
    type Event = UserCreated;
    type Command = RecordCustomer;

    const QUEUE: &'static str = "orders.user-created";
    const TYPE: &'static str = UserCreated::TYPE;

    fn command(&self, event: UserCreated, delivery: &Delivery) -> RecordCustomer {
        RecordCustomer {
            event: delivery.id.clone(),
            queue: Self::QUEUE,
            retention: self.retention,
            id: event.id,
            name: event.name,
        }
    }

    fn verdict(&self, recorded: Recorded) -> Verdict {
        match recorded {
            Recorded::Applied => Verdict::Applied,
            Recorded::SeenBefore => Verdict::SeenBefore,
        }
    }
}
