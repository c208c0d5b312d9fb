use std::sync::Arc;

use super::super::Message;

/// Names a queue in the store, for as long as it lives. No two queues have the same one while anything of either is on disk.
pub type QueueId = u64;

/// The place of a message in its queue. The lowest goes first; no two messages that are on disk have the same one.
pub type Position = u64;

/// One thing that becomes different on disk.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// Keeps a definition, in place of what was there.
    Define {
        /// What it is called.
        key: String,
        /// What the core reads again when it starts.
        value: Vec<u8>,
    },
    /// Removes a definition.
    Undefine {
        /// What it is called.
        key: String,
    },
    /// Keeps a message that waits in a queue.
    Insert {
        /// Where it waits.
        queue: QueueId,
        /// Its place there.
        position: Position,
        /// When it expires, in milliseconds since 1970.
        expires_at_ms: Option<u64>,
        /// The message.
        message: Arc<Message>,
    },
    /// Removes a message, and what is known of its attempts.
    Remove {
        /// Where it waited.
        queue: QueueId,
        /// Its place there.
        position: Position,
    },
    /// Keeps how often a message that waits again was delivered.
    Attempts {
        /// Where it waits.
        queue: QueueId,
        /// Its place there.
        position: Position,
        /// How often.
        count: u32,
    },
    /// Keeps how far a queue was delivered: after an unclean end whatever is at or below may have been.
    DeliveredUpTo {
        /// The queue.
        queue: QueueId,
        /// The highest position that was delivered.
        position: Position,
    },
    /// Removes all that is known of a queue but its definition.
    Forget {
        /// The queue.
        queue: QueueId,
    },
}
