//! Connections: one task reads a client's frames and hands them to the broker, another writes what is said to it.

mod frames;
pub use frames::{BadFrame, Frame, Payload};

mod nesting;

mod outbox;
pub use outbox::crash;

mod link;
pub use link::Link;

mod handshake;
pub use handshake::{Agreement, LOGIN, short};

mod task;
pub use task::serve;

use std::collections::HashMap;
use std::rc::Rc;

use amq_protocol::protocol::AMQPClass;

use super::channel::Channel;
use super::store::QueueId;

/// A number that no other connection of this process has.
pub type ConnectionId = u64;

/// What the broker knows of a client.
#[derive(Debug)]
pub struct Connection {
    /// Its own name for itself.
    pub name: Rc<str>,
    /// The virtual host that it is in.
    pub vhost: Rc<str>,
    /// The longest frame.
    pub frame_max: u32,
    /// The highest channel.
    pub channel_max: u16,
    /// Whether it understands that it is blocked.
    pub knows_blocked: bool,
    /// Whether it understands that its consumer was cancelled.
    pub knows_cancel: bool,
    /// Its open channels.
    pub channels: HashMap<u16, Channel>,
    /// Its exclusive queues, which go with it.
    pub queues: Vec<QueueId>,
    /// Whether it was told that it is blocked.
    pub is_blocked: bool,
    /// Whether it was told why it is closed; then only its answer counts.
    pub is_closing: bool,
    /// What it hears once its last change is on disk.
    pub deferred: Option<(u16, AMQPClass)>,
    /// Its socket.
    pub link: Rc<Link>,
}

impl Connection {
    /// A connection as it was agreed upon.
    pub fn new(agreement: Agreement, link: Rc<Link>) -> Self {
        Self {
            name: agreement.name.into(),
            vhost: agreement.vhost.into(),
            frame_max: agreement.frame_max,
            channel_max: agreement.channel_max,
            knows_blocked: agreement.knows_blocked,
            knows_cancel: agreement.knows_cancel,
            channels: HashMap::new(),
            queues: Vec::new(),
            is_blocked: false,
            is_closing: false,
            deferred: None,
            link,
        }
    }

    /// Says something to the client.
    pub fn say(&self, channel: u16, method: AMQPClass) {
        self.link.outbox.method(channel, method);
    }
}
