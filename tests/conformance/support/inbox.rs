//! What has come for one channel and was not asked for yet: methods in their order, each with its content.

use std::collections::VecDeque;

use amq_protocol::frame::AMQPFrame;
use amq_protocol::protocol::{AMQPClass, BasicProperties, basic};

/// A method that the broker sent, and the content that came with it.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    pub method: AMQPClass,
    pub properties: BasicProperties,
    pub body: Vec<u8>,
    /// In how many frames the body came.
    pub frames: usize,
}

#[derive(Default)]
pub(super) struct Inbox {
    whole: VecDeque<Event>,
    /// One whose content is still coming, and the size that its header announced.
    partial: Option<(Event, Option<u64>)>,
}

impl Inbox {
    /// Takes a frame of the channel.
    ///
    /// # Panics
    ///
    /// When frames do not come in the order that AMQP demands.
    pub fn take_in(&mut self, frame: AMQPFrame) {
        match (frame, self.partial.take()) {
            (AMQPFrame::Method(_, method), None) => {
                let event = Event { method, properties: BasicProperties::default(), body: vec![], frames: 0 };
                if has_content(&event.method) {
                    self.partial = Some((event, None));
                } else {
                    self.whole.push_back(event);
                }
            }
            (AMQPFrame::Header(_, header), Some((mut event, None))) => {
                event.properties = header.properties;
                self.partial = Some((event, Some(header.body_size)));
            }
            (AMQPFrame::Body(_, part), Some((mut event, Some(size)))) => {
                event.body.extend(part);
                event.frames += 1;
                self.partial = Some((event, Some(size)));
            }
            (frame, partial) => panic!("{frame:?} came after {partial:?}"),
        }
        if let Some((event, _)) = self.partial.take_if(|(event, size)| Some(event.body.len() as u64) == *size)
        {
            self.whole.push_back(event);
        }
    }

    /// Whether nothing has come that was not asked for.
    pub fn is_empty(&self) -> bool {
        self.whole.is_empty() && self.partial.is_none()
    }

    /// Takes out the first event that `is_wanted`, and leaves the others.
    pub fn find(&mut self, is_wanted: impl Fn(&Event) -> bool) -> Option<Event> {
        let at = self.whole.iter().position(is_wanted)?;
        self.whole.remove(at)
    }
}

fn has_content(method: &AMQPClass) -> bool {
    use basic::AMQPMethod::{Deliver, GetOk, Return};
    matches!(method, AMQPClass::Basic(Deliver(_) | GetOk(_) | Return(_)))
}
