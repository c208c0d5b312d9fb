use std::collections::BTreeMap;

use redb::{Database, ReadableTable};

use super::super::Message;
use super::tables::{ATTEMPTS, DEFINITIONS, DELIVERED, MESSAGES, NEVER};
use super::{Position, QueueId, StoreError};

/// What was on disk when the store was opened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// The definitions, in the order of their keys.
    pub definitions: Vec<(String, Vec<u8>)>,
    /// The queues of which something is known.
    pub queues: BTreeMap<QueueId, RecoveredQueue>,
}

/// What is known of a queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecoveredQueue {
    /// Whatever is at or below this position may have been delivered.
    pub delivered_up_to: Option<Position>,
    /// The messages that wait, in the order of their positions.
    pub messages: Vec<RecoveredMessage>,
}

/// A message that waits. Its content stays on disk until it is delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredMessage {
    /// Its place in the queue.
    pub position: Position,
    /// Bytes of its record.
    pub size: u32,
    /// Bytes of its body.
    pub body_size: u32,
    /// How often it was delivered before it came back to wait again.
    pub attempts: u32,
    /// When it expires, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
}

impl Recovered {
    /// Bytes of all messages.
    pub(super) fn stored(&self) -> u64 {
        self.queues.values().flat_map(|queue| &queue.messages).map(|message| u64::from(message.size)).sum()
    }
}

/// Reads the whole file, one page after the other; the messages are looked at and not kept.
pub(super) fn read(database: &Database) -> Result<Recovered, StoreError> {
    let mut transaction = database.begin_write()?;
    // However this ends, the file opens at once the next time.
    transaction.set_quick_repair(true);
    let recovered = {
        let definitions = transaction.open_table(DEFINITIONS)?;
        let definitions = definitions.iter()?.map(|row| {
            let (key, value) = row?;
            Ok((key.value().to_owned(), value.value().to_vec()))
        });
        let definitions = definitions.collect::<Result<_, StoreError>>()?;

        let mut queues = BTreeMap::<QueueId, RecoveredQueue>::new();
        for row in transaction.open_table(MESSAGES)?.iter()? {
            let (key, value) = row?;
            let ((queue, position), (expires_at_ms, record)) = (key.value(), value.value());
            queues.entry(queue).or_default().messages.push(RecoveredMessage {
                position,
                // A record has less than 4 GiB, by the making of messages.
                size: u32::try_from(record.len()).unwrap_or(u32::MAX),
                body_size: Message::body_size_of(record),
                attempts: 0,
                expires_at_ms: (expires_at_ms != NEVER).then_some(expires_at_ms),
            });
        }
        for row in transaction.open_table(ATTEMPTS)?.iter()? {
            let (key, count) = row?;
            let (queue, position) = key.value();
            let Some(queue) = queues.get_mut(&queue) else { continue };
            if let Ok(at) = queue.messages.binary_search_by_key(&position, |message| message.position) {
                queue.messages[at].attempts = count.value();
            }
        }
        for row in transaction.open_table(DELIVERED)?.iter()? {
            let (queue, position) = row?;
            queues.entry(queue.value()).or_default().delivered_up_to = Some(position.value());
        }
        Recovered { definitions, queues }
    };
    transaction.commit()?;
    Ok(recovered)
}
