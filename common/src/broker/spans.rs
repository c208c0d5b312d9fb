//! The spans of messages, by OpenTelemetry's conventions for messaging and RabbitMQ.

use super::{Delivery, Disposition, PublishOutcome, message::Incoming, topology::EVENTS};
use crate::{
    event::Envelope,
    telemetry::{
        spans::{Span, SpanKind},
        trace::Origin,
    },
};

/// The spans of events on their way to the broker: each from being handed over until it is confirmed.
#[derive(Default)]
pub(super) struct Publishing(Vec<(usize, Span)>);

impl Publishing {
    /// Begins the span of the event at `index`, which then travels as part of it.
    pub(super) fn begin(&mut self, index: usize, envelope: &mut Envelope) {
        let Envelope { id, event_type, origin, body, .. } = envelope;
        let mut span = Span::child_of(origin.traceparent, SpanKind::Producer, || {
            format!("publish {EVENTS}:{event_type}")
        });
        let context = span.context();
        let mut recorded = false;
        span.note(|record| {
            recorded = true;
            record.set("messaging.system", "rabbitmq");
            record.set("messaging.operation.name", "publish").set("messaging.operation.type", "send");
            record.set("messaging.destination.name", format!("{EVENTS}:{event_type}"));
            record.set("messaging.rabbitmq.destination.routing_key", event_type.clone());
            record.set("messaging.message.id", id.to_string());
            record.set("messaging.message.conversation_id", origin.request_id.to_string());
            record.set("messaging.message.body.size", body.get().len() as i64);
        });
        if recorded {
            origin.traceparent = context;
            self.0.push((index, span));
        }
    }

    /// Ends the spans.
    pub(super) fn end(self, outcomes: &[PublishOutcome]) {
        for (index, mut span) in self.0 {
            span.note(|record| match outcomes.get(index) {
                Some(PublishOutcome::Confirmed) => {}
                Some(outcome @ (PublishOutcome::Unknown(why) | PublishOutcome::NotSent(why))) => {
                    record.fail(outcome.label(), why.clone());
                }
                Some(outcome) => {
                    record.fail(outcome.label(), outcome.label());
                }
                None => {
                    record.fail("unknown", "no answer");
                }
            });
        }
    }
}

/// Begins the span of doing what a delivery asks for; all that is done belongs to it.
pub(super) fn processing(message: &Incoming, delivery: &mut Delivery) -> Span {
    let sent = delivery.origin.traceparent;
    let name = || format!("process {}", delivery.queue);
    let mut span = match message.trace() {
        Some(_) => Span::child_of(sent, SpanKind::Consumer, name),
        // Nobody's part of anything.
        None => Span::begin(sent, None, SpanKind::Consumer, name),
    };
    span.note(|record| {
        let Delivery { id, origin: Origin { request_id, .. }, attempt, redelivered, queue, .. } = &*delivery;
        let routing_key = message.original_routing_key();
        record.set("messaging.system", "rabbitmq");
        record.set("messaging.operation.name", "process").set("messaging.operation.type", "process");
        record.set("messaging.destination.name", format!("{EVENTS}:{routing_key}:{queue}"));
        record.set("messaging.rabbitmq.destination.routing_key", routing_key.to_owned());
        record.set("messaging.message.id", id.to_string());
        record.set("messaging.message.conversation_id", request_id.to_string());
        record.set("messaging.message.body.size", message.body.len() as i64);
        record.set("warren.delivery.attempt", *attempt).set("warren.delivery.redelivered", *redelivered);
    });
    delivery.origin.traceparent = span.context();
    span
}

/// Says what became of the delivery.
pub(super) fn disposed(span: &mut Span, disposition: &Disposition) {
    span.note(|record| match disposition {
        Disposition::Done => {}
        Disposition::Retry(why) | Disposition::Dead(why) | Disposition::Later(why) => {
            record.fail(disposition.label(), why.clone());
        }
    });
}
