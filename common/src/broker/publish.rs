use actix::{Handler, Message, ResponseFuture};
use futures_util::FutureExt;

use super::{BrokerActor, message::Outgoing};
use crate::event::{Envelope, EventId};

/// Publishes events, each mandatory and confirmed.
///
/// Replies once the fate of every one is known, in the order given. Events reach the broker in this order, and
/// those of a message before those of the next; many messages may be under way at the same time.
#[derive(Debug, Message)]
#[rtype(result = "Vec<PublishOutcome>")]
pub struct Publish(pub Vec<Envelope>);

/// The fate of one published message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PublishOutcome {
    /// Safe: on disk in every queue that it was routed to, and it was routed to at least one. The only success.
    Confirmed,
    /// No queue wants it, so the broker dropped it.
    Unroutable,
    /// The broker could not take it.
    Refused,
    /// It was handed over and nobody knows more: publish it again; consumers recognise it by its id.
    Unknown(String),
    /// It was not handed over, because of this.
    NotSent(String),
}

impl PublishOutcome {
    pub(super) fn label(&self) -> &'static str {
        match self {
            Self::Confirmed => "confirmed",
            Self::Unroutable => "unroutable",
            Self::Refused => "refused",
            Self::Unknown(_) => "unknown",
            Self::NotSent(_) => "not_sent",
        }
    }
}

impl Handler<Publish> for BrokerActor {
    type Result = ResponseFuture<Vec<PublishOutcome>>;

    fn handle(&mut self, Publish(envelopes): Publish, _: &mut Self::Context) -> Self::Result {
        match &self.link {
            Some(link) => {
                let events: Vec<EventId> = envelopes.iter().map(|envelope| envelope.id.clone()).collect();
                let messages = envelopes.into_iter().map(Outgoing::event).collect();
                let publishing = link.publisher.publish(messages);
                let (ledger, generation) = (self.history.ledger.clone(), self.life.generation());
                ledger.published(&events, generation);
                publishing
                    .map(move |outcomes| {
                        ledger.settled(events, &outcomes, generation);
                        outcomes
                    })
                    .boxed_local()
            }
            None => {
                let outcome = PublishOutcome::NotSent("not connected to the broker".to_owned());
                std::future::ready(vec![outcome; envelopes.len()]).boxed_local()
            }
        }
    }
}
