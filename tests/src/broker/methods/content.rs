//! Content: a message comes as a method, the head of its body, and the body in parts.

use amq_protocol::protocol::basic;

use super::super::channel::Incoming;
use super::super::connection::ConnectionId;
use super::super::core::{Broker, Step};
use super::super::effects::NOTHING;
use super::super::faults::{Moment, Occasion};
use super::super::refusal::Refusal;

/// So much room is made for a body before any of it has come.
const AT_ONCE: u64 = 128 * 1024;

/// The longest body, as RabbitMQ has it.
const MOST_BODY: u64 = 128 * 1024 * 1024;

impl Broker {
    pub(super) fn content_header(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        class: u16,
        body_size: u64,
        properties: &[u8],
        is_released: bool,
    ) -> Result<Step, Refusal> {
        let channel = self.channel_mut(id, channel_id).and_then(|channel| channel.incoming.as_mut());
        if class != 60 || channel.is_none_or(|incoming| incoming.head.is_some()) {
            return Err(Refusal::unexpected_frame("expected a method, got a content header instead"));
        }
        if body_size > MOST_BODY {
            return Err(Refusal::precondition_failed(format_args!(
                "message size {body_size} is larger than configured max size {MOST_BODY}"
            )));
        }
        if body_size == 0
            && let Some(step) = self.whole_message(id, channel_id, (properties, b""), is_released)?
            && step != Step::Next
        {
            return Ok(step);
        }
        if let Some(channel) = self.channel_mut(id, channel_id)
            && let Some(incoming) = channel.incoming.as_mut()
        {
            incoming.head = Some((properties.into(), body_size));
            incoming.body.reserve_exact(body_size.min(AT_ONCE) as usize);
        }
        // As RabbitMQ, which stops reading between head and body.
        match self.alarm() {
            None => Ok(Step::Next),
            Some(reason) => {
                self.block_publisher(id, reason);
                Ok(Step::Pause)
            }
        }
    }

    pub(super) fn content_body(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        part: &[u8],
        is_released: bool,
    ) -> Result<Step, Refusal> {
        let channel = self.channel_mut(id, channel_id).and_then(|channel| channel.incoming.as_ref());
        let Some((Some((_, size)), so_far)) =
            channel.map(|incoming| (incoming.head.as_ref(), incoming.body.len()))
        else {
            return Err(Refusal::unexpected_frame(
                "expected a method or a content header, got a body instead",
            ));
        };
        let (size, so_far) = (*size, (so_far + part.len()) as u64);
        if so_far > size {
            return Err(Refusal::unexpected_frame("the body is longer than its header said"));
        }
        if so_far == size
            && let Some(step) = self.whole_message(id, channel_id, (b"", part), is_released)?
        {
            return Ok(step);
        }
        if let Some(channel) = self.channel_mut(id, channel_id)
            && let Some(incoming) = channel.incoming.as_mut()
        {
            incoming.body.extend_from_slice(part);
        }
        Ok(Step::Next)
    }

    /// Publishes the message whose last frame this is, unless a tester wants something else first.
    fn whole_message(
        &mut self,
        id: ConnectionId,
        channel_id: u16,
        (properties, part): (&[u8], &[u8]),
        is_released: bool,
    ) -> Result<Option<Step>, Refusal> {
        let mut effect = None;
        if !is_released && !self.rules.is_empty() {
            let Some(channel) = self.channel_mut(id, channel_id) else { return Ok(None) };
            let Some(incoming) = channel.incoming.as_ref() else { return Ok(None) };
            let (exchange, routing_key) = (incoming.exchange.clone(), incoming.routing_key.clone());
            let (moment, exchange, routing_key) = (Moment::PublishReceived, &exchange, &routing_key);
            effect = self.meet(id, Occasion { moment, exchange, routing_key, ..NOTHING });
            if let Some(step) = self.interrupt(id, channel_id, effect.as_ref()) {
                return Ok(Some(step));
            }
        }
        let Some(channel) = self.channel_mut(id, channel_id) else { return Ok(None) };
        let Some(mut incoming) = channel.incoming.take() else { return Ok(None) };
        incoming.body.extend_from_slice(part);
        incoming.head.get_or_insert_with(|| (properties.into(), 0));
        self.publish(id, channel_id, incoming, effect).map(Some)
    }

    /// Begins a message.
    pub(super) fn begin_publish(
        &mut self,
        id: ConnectionId,
        channel: u16,
        publish: basic::Publish,
    ) -> Result<Step, Refusal> {
        if publish.immediate {
            return Err(Refusal::not_implemented("immediate=true"));
        }
        if let Some(channel) = self.channel_mut(id, channel) {
            channel.incoming = Some(Incoming {
                exchange: publish.exchange.as_str().into(),
                routing_key: publish.routing_key.as_str().into(),
                mandatory: publish.mandatory,
                head: None,
                body: Vec::new(),
            });
        }
        Ok(Step::Next)
    }
}
