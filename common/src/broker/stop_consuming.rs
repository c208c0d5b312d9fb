use std::time::Duration;

use actix::{Handler, Message, ResponseFuture};
use futures_util::FutureExt;

use super::BrokerActor;

/// Stops taking deliveries, for a service that is about to end.
///
/// Replies once those in progress are answered, or after `within`, with the number that are not: they come
/// again. Publishing goes on.
#[derive(Clone, Copy, Debug, Message)]
#[rtype(result = "usize")]
pub struct StopConsuming {
    /// How long to wait for the deliveries in progress.
    pub within: Duration,
}

impl Handler<StopConsuming> for BrokerActor {
    type Result = ResponseFuture<usize>;

    fn handle(&mut self, StopConsuming { within }: StopConsuming, _: &mut Self::Context) -> Self::Result {
        match &self.link {
            Some(link) => link.stop_consuming(within).boxed_local(),
            None => std::future::ready(0).boxed_local(),
        }
    }
}
