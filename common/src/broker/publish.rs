use actix::{Handler, Message, ResponseFuture};
use futures_util::FutureExt;

use super::{BrokerActor, message::Outgoing, spans::Publishing};
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
    /// What [`PublishOutcome::label`] may say.
    pub(crate) const LABELS: [&str; 5] = ["confirmed", "unroutable", "refused", "unknown", "not_sent"];

    pub(crate) fn label(&self) -> &'static str {
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
        let sends = match &self.link {
            Some(link) => link.publisher.holds_back().map_or(Ok(link), Err),
            None => Err("not connected to the broker".to_owned()),
        };
        let link = match sends {
            Ok(link) => link,
            Err(reason) => {
                let outcomes = vec![PublishOutcome::NotSent(reason); envelopes.len()];
                return std::future::ready(outcomes).boxed_local();
            }
        };
        let events: Vec<EventId> = envelopes.iter().map(|envelope| envelope.id.clone()).collect();
        let mut spans = Publishing::default();
        let message = |(index, mut envelope)| {
            spans.begin(index, &mut envelope);
            Outgoing::event(envelope)
        };
        let messages = envelopes.into_iter().enumerate().map(message).collect();
        let publishing = link.publisher.publish(messages);
        let (ledger, generation) = (self.history.ledger.clone(), self.life.generation());
        ledger.published(&events, generation);
        publishing
            .map(move |outcomes| {
                ledger.settled(events, &outcomes, generation);
                spans.end(&outcomes);
                outcomes
            })
            .boxed_local()
    }
}
