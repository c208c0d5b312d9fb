//! The messages of one queue, in their order: those that wait, and those that were delivered and are not acknowledged.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::super::Message;
use super::super::store::Position;

/// A message in a queue.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its place: one queue's positions only grow.
    pub position: Position,
    /// Where its bytes are.
    pub content: Content,
    /// How many they are.
    pub size: Size,
    /// When it has waited too long, in milliseconds since 1970.
    pub expires_at_ms: Option<u64>,
    /// How often it came back from a consumer.
    pub attempts: u32,
    /// Whether somebody may have seen it before.
    pub is_redelivered: bool,
}

/// How many bytes a message has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// The body, which counts for the limits of a queue.
    pub body: u32,
    /// All that is kept, names and properties included.
    pub record: u32,
}

impl Size {
    /// That of a message.
    pub fn of(message: &Message) -> Self {
        let count = |bytes: usize| u32::try_from(bytes).unwrap_or(u32::MAX);
        Self { body: count(message.body().len()), record: count(message.size()) }
    }
}

/// Where a message's bytes are.
#[derive(Clone, Debug)]
pub enum Content {
    /// Here only: it is not to be kept on disk.
    Volatile(Arc<Message>),
    /// Here, and soon on disk.
    Unwritten(Arc<Message>),
    /// On disk, and still here.
    Cached(Arc<Message>),
    /// On disk only.
    OnDisk,
}

impl Content {
    /// The message, where it is here.
    pub fn message(&self) -> Option<&Arc<Message>> {
        match self {
            Self::Volatile(message) | Self::Unwritten(message) | Self::Cached(message) => Some(message),
            Self::OnDisk => None,
        }
    }

    /// Whether the store has it, or soon has.
    pub fn is_stored(&self) -> bool {
        !matches!(self, Self::Volatile(_))
    }
}

/// What comes first when messages go back to their queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returns {
    /// The place that they had: a classic queue.
    ToTheirPlace,
    /// Those that went back first, before all that were never delivered: a quorum queue.
    InTheirOrder,
}

/// The messages of one queue.
#[derive(Debug)]
pub struct Backlog {
    returns: Returns,
    waiting: VecDeque<Entry>,
    returned: VecDeque<Entry>,
    unacked: HashMap<Position, Entry>,
    next: Position,
    /// Of bodies that wait.
    body_bytes: u64,
    /// Of all that is kept, waiting or not.
    bytes: u64,
    cached_bytes: u64,
}

impl Backlog {
    /// One without messages, which gives this position to the first.
    pub fn new(returns: Returns, next: Position) -> Self {
        Self {
            returns,
            waiting: VecDeque::new(),
            returned: VecDeque::new(),
            unacked: HashMap::new(),
            next,
            body_bytes: 0,
            bytes: 0,
            cached_bytes: 0,
        }
    }

    /// How many messages wait.
    pub fn len(&self) -> usize {
        self.waiting.len() + self.returned.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty() && self.returned.is_empty()
    }

    /// How many bytes of bodies wait.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// How many bytes are kept of what waits or is not acknowledged.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes of waiting messages are in memory although they are on disk.
    pub fn cached_bytes(&self) -> u64 {
        self.cached_bytes
    }

    /// How many messages are not acknowledged.
    pub fn unacked(&self) -> usize {
        self.unacked.len()
    }

    /// Appends a message and returns its position.
    pub fn push(&mut self, content: Content, size: Size, expires_at_ms: Option<u64>) -> Position {
        let position = self.next;
        self.restore(Entry { position, content, size, expires_at_ms, attempts: 0, is_redelivered: false });
        position
    }

    /// Appends one that was there before the broker ended.
    pub fn restore(&mut self, entry: Entry) {
        self.next = self.next.max(entry.position + 1);
        self.body_bytes += u64::from(entry.size.body);
        self.bytes += u64::from(entry.size.record);
        self.waiting.push_back(entry);
    }

    /// Says of all that wait that somebody may have seen them.
    pub fn redeliver(&mut self) {
        self.waiting.iter_mut().for_each(|entry| entry.is_redelivered = true);
    }

    /// Gives no position up to this one again.
    pub fn begin_after(&mut self, position: Position) {
        self.next = self.next.max(position + 1);
    }

    /// The next to be delivered, or to expire, or to be dropped.
    pub fn head(&self) -> Option<&Entry> {
        self.returned.front().or_else(|| self.waiting.front())
    }

    /// Takes the head away for good.
    pub fn remove_head(&mut self) -> Option<Entry> {
        let entry = self.take_head()?;
        self.bytes -= u64::from(entry.size.record);
        Some(entry)
    }

    fn take_head(&mut self) -> Option<Entry> {
        let entry = self.returned.pop_front().or_else(|| self.waiting.pop_front())?;
        shrink(&mut self.returned);
        shrink(&mut self.waiting);
        self.body_bytes -= u64::from(entry.size.body);
        self.uncache(&entry);
        Some(entry)
    }

    /// Takes the head for a consumer, who will acknowledge it.
    pub fn deliver_head(&mut self) -> Option<Entry> {
        let entry = self.take_head()?;
        self.unacked.insert(entry.position, self.uncached(entry.clone()));
        Some(entry)
    }

    /// Turns the order of the next messages round, and says how many there were.
    pub fn reverse_first(&mut self, count: usize) -> usize {
        let first: Vec<Entry> = (0..count)
            .map_while(|_| self.returned.pop_front().or_else(|| self.waiting.pop_front()))
            .collect();
        // They come before all others now, whatever their positions.
        let count = first.len();
        first.into_iter().for_each(|entry| self.returned.push_front(entry));
        count
    }

    /// A message that is delivered or about to be, and not acknowledged.
    pub fn delivered(&self, position: Position) -> Option<&Entry> {
        self.unacked.get(&position)
    }

    /// Takes a message that was acknowledged or refused; `None` where it is not there any more.
    pub fn settle(&mut self, position: Position) -> Option<Entry> {
        let entry = self.unacked.remove(&position)?;
        self.bytes -= u64::from(entry.size.record);
        Some(entry)
    }

    /// Puts a message back that was taken by [`Backlog::settle`].
    pub fn put_back(&mut self, entry: Entry) {
        self.body_bytes += u64::from(entry.size.body);
        self.bytes += u64::from(entry.size.record);
        match self.returns {
            Returns::InTheirOrder => self.returned.push_back(entry),
            Returns::ToTheirPlace => {
                let at = self.waiting.partition_point(|other| other.position < entry.position);
                self.waiting.insert(at, entry);
            }
        }
    }

    /// Takes all that wait.
    pub fn drain(&mut self) -> Vec<Entry> {
        self.body_bytes = 0;
        self.bytes = self.unacked.values().map(|entry| u64::from(entry.size.record)).sum();
        self.cached_bytes = 0;
        self.returned.drain(..).chain(self.waiting.drain(..)).collect()
    }

    /// A message is on disk: whether its bytes stay in memory too is `may_cache`.
    pub fn written(&mut self, position: Position, may_cache: bool) {
        if let Some(entry) = self.unacked.get_mut(&position) {
            if entry.content.is_stored() {
                entry.content = Content::OnDisk;
            }
        } else if let Some(entry) = find(&mut self.waiting, &mut self.returned, position)
            && let Content::Unwritten(message) = &entry.content
        {
            entry.content = if may_cache { Content::Cached(message.clone()) } else { Content::OnDisk };
            self.cached_bytes += if may_cache { u64::from(entry.size.record) } else { 0 };
        }
    }

    /// Brings what was loaded back to those who wait.
    pub fn loaded(&mut self, messages: Vec<(Position, Arc<Message>)>) {
        for (position, message) in messages {
            if let Some(entry) = find(&mut self.waiting, &mut self.returned, position)
                && matches!(entry.content, Content::OnDisk)
            {
                self.cached_bytes += u64::from(entry.size.record);
                entry.content = Content::Cached(message);
            }
        }
    }

    fn uncache(&mut self, entry: &Entry) {
        if matches!(entry.content, Content::Cached(_)) {
            self.cached_bytes -= u64::from(entry.size.record);
        }
    }

    /// What is on disk need not wait in memory for its acknowledgement.
    fn uncached(&self, mut entry: Entry) -> Entry {
        if matches!(entry.content, Content::Cached(_)) {
            entry.content = Content::OnDisk;
        }
        entry
    }
}

/// A message among those that wait in order of their places, or among those that were put back.
fn find<'a>(
    waiting: &'a mut VecDeque<Entry>,
    returned: &'a mut VecDeque<Entry>,
    position: Position,
) -> Option<&'a mut Entry> {
    match waiting.binary_search_by_key(&position, |entry| entry.position) {
        Ok(at) => waiting.get_mut(at),
        Err(_) => returned.iter_mut().find(|entry| entry.position == position),
    }
}

/// A long backlog is no reason to keep so much memory for ever.
fn shrink(entries: &mut VecDeque<Entry>) {
    if entries.capacity() > 1024 && entries.len() < entries.capacity() / 4 {
        entries.shrink_to(entries.capacity() / 2);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backlog(returns: Returns, count: u64) -> Backlog {
        let mut backlog = Backlog::new(returns, 1);
        for number in 0..count {
            let message = Message::new("", "q", &[0, 0], number.to_string().as_bytes()).expect("it is good");
            backlog.push(Content::Unwritten(Arc::new(message)), Size { body: 1, record: 10 }, None);
        }
        backlog
    }

    fn drained(mut backlog: Backlog) -> Vec<Position> {
        backlog.drain().iter().map(|entry| entry.position).collect()
    }

    #[test]
    fn a_classic_queue_puts_back_to_the_place_and_a_quorum_queue_in_order_of_return() {
        for (returns, expected) in
            [(Returns::ToTheirPlace, [1, 2, 3, 4]), (Returns::InTheirOrder, [3, 1, 2, 4])]
        {
            let mut backlog = backlog(returns, 4);
            for _ in 0..3 {
                backlog.deliver_head().expect("it waits");
            }

            for position in [3, 1, 2] {
                let entry = backlog.settle(position).expect("it was delivered");
                backlog.put_back(entry);
            }

            assert_eq!(drained(backlog), expected);
        }
    }

    #[test]
    fn bytes_are_counted_through_every_change() {
        let mut backlog = backlog(Returns::ToTheirPlace, 3);
        (1..=3).for_each(|position| backlog.written(position, position < 3));
        assert_eq!((backlog.body_bytes(), backlog.bytes(), backlog.cached_bytes()), (3, 30, 20));

        backlog.deliver_head().expect("it waits");
        assert_eq!((backlog.body_bytes(), backlog.bytes(), backlog.cached_bytes()), (2, 30, 10));
        let entry = backlog.settle(1).expect("it was delivered");
        assert!(matches!(entry.content, Content::OnDisk), "{entry:?}");
        backlog.put_back(entry);
        assert_eq!((backlog.len(), backlog.unacked(), backlog.bytes()), (3, 0, 30));

        let message = Arc::new(Message::new("", "q", &[0, 0], b"0").expect("it is good"));
        backlog.loaded(vec![(1, message)]);
        assert_eq!(backlog.cached_bytes(), 20);
        backlog.remove_head();
        assert_eq!((backlog.bytes(), backlog.cached_bytes()), (20, 10));
        backlog.drain();
        assert_eq!((backlog.bytes(), backlog.cached_bytes()), (0, 0));
    }

    #[test]
    fn what_was_delivered_before_it_was_on_disk_keeps_its_bytes() {
        let mut backlog = backlog(Returns::ToTheirPlace, 1);
        backlog.deliver_head().expect("it waits");

        let entry = backlog.settle(1).expect("it was delivered");

        assert!(entry.content.message().is_some());
    }
}
