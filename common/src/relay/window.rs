use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    time::Instant,
};

use crate::{backoff::Backoff, event::Envelope, store::OutboxRow};

/// The outbox rows that the relay has in hand, and which of them may leave now.
///
/// Rows of one aggregate leave one after the other: a row waits until the one before it is confirmed. Rows of
/// different aggregates do not wait for each other. Pure: time and chance come from the caller.
#[derive(Debug)]
pub(super) struct Window {
    capacity: usize,
    backoff: Backoff,
    rows: BTreeMap<u64, Row>,
    /// Per aggregate the numbers of its unconfirmed rows; only the first may leave.
    queues: HashMap<String, VecDeque<u64>>,
    /// Firsts that may leave, by the time from which they may.
    due: BTreeMap<(Instant, u64), ()>,
    in_flight: usize,
    confirmed: Vec<u64>,
}

#[derive(Debug)]
struct Row {
    envelope: Envelope,
    failures: u32,
}

impl Window {
    /// Takes up to `capacity` rows in hand; one that failed waits by `backoff`.
    pub(super) fn new(capacity: usize, backoff: Backoff) -> Self {
        Self {
            capacity,
            backoff,
            rows: BTreeMap::new(),
            queues: HashMap::new(),
            due: BTreeMap::new(),
            in_flight: 0,
            confirmed: Vec::new(),
        }
    }

    /// How many more rows can be admitted.
    pub(super) fn room(&self) -> usize {
        self.capacity.saturating_sub(self.rows.len())
    }

    /// How many rows are in hand.
    pub(super) fn len(&self) -> usize {
        self.rows.len()
    }

    /// The lowest number in hand.
    pub(super) fn first(&self) -> Option<u64> {
        self.rows.first_key_value().map(|(number, _)| *number)
    }

    /// How many rows are on their way to the broker.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Takes rows in hand, in the order of their numbers; those already in hand are passed over.
    pub(super) fn admit(&mut self, rows: Vec<OutboxRow>, now: Instant) {
        for OutboxRow { number, envelope } in rows {
            if self.rows.contains_key(&number) {
                continue;
            }
            let queue = self.queues.entry(envelope.aggregate.clone()).or_default();
            queue.push_back(number);
            if queue.len() == 1 {
                self.due.insert((now, number), ());
            }
            self.rows.insert(number, Row { envelope, failures: 0 });
        }
    }

    /// Hands out up to `limit` rows that may leave, the ones that wait longest first.
    pub(super) fn take_due(&mut self, now: Instant, limit: usize) -> Vec<OutboxRow> {
        let mut taken = Vec::new();
        while taken.len() < limit {
            let Some((&(at, number), ())) = self.due.first_key_value() else { break };
            if at > now {
                break;
            }
            self.due.pop_first();
            if let Some(row) = self.rows.get(&number) {
                taken.push(OutboxRow { number, envelope: row.envelope.clone() });
            }
        }
        self.in_flight += taken.len();
        taken
    }

    /// Notes that the broker has confirmed and routed a row: the next of its aggregate may leave.
    pub(super) fn confirmed(&mut self, number: u64, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.confirmed.push(number);
        let Some(row) = self.rows.get(&number) else { return };
        let Some(queue) = self.queues.get_mut(&row.envelope.aggregate) else { return };
        queue.pop_front();
        match queue.front() {
            Some(&next) => {
                self.due.insert((now, next), ());
            }
            None => {
                self.queues.remove(&row.envelope.aggregate);
            }
        }
    }

    /// Notes that a row did not arrive, or that nobody knows: it leaves again, before any other of its
    /// aggregate.
    pub(super) fn failed(&mut self, number: u64, now: Instant, jitter: f64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        let Some(row) = self.rows.get_mut(&number) else { return };
        let delay = self.backoff.delay(row.failures, jitter);
        row.failures += 1;
        self.due.insert((now + delay, number), ());
    }

    /// Notes that a row was not sent at all, which says nothing of the row: it may leave again at once.
    pub(super) fn held(&mut self, number: u64, now: Instant) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if self.rows.contains_key(&number) {
            self.due.insert((now, number), ());
        }
    }

    /// Lets every row that waits after a failure leave at once, because the broker is back.
    pub(super) fn retry_all(&mut self, now: Instant) {
        let waiting: Vec<u64> = self.due.keys().map(|&(_, number)| number).collect();
        self.due = waiting.into_iter().map(|number| ((now, number), ())).collect();
        for row in self.rows.values_mut() {
            row.failures = 0;
        }
    }

    /// Hands out the rows that were confirmed and are still in the outbox.
    pub(super) fn take_confirmed(&mut self) -> Vec<u64> {
        std::mem::take(&mut self.confirmed)
    }

    /// Takes back rows that could not be removed from the outbox yet.
    pub(super) fn keep_confirmed(&mut self, numbers: Vec<u64>) {
        self.confirmed.extend(numbers);
    }

    /// Lets go of rows that are no longer in the outbox.
    pub(super) fn removed(&mut self, numbers: &[u64]) {
        for number in numbers {
            self.rows.remove(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{event::EventId, telemetry::trace::Origin};

    fn row(number: u64, aggregate: &str) -> OutboxRow {
        let envelope = Envelope {
            about: Vec::new(),
            id: EventId::given(number.to_string()),
            event_type: "thing.happened".to_owned(),
            aggregate: aggregate.to_owned(),
            source: "test".to_owned(),
            time: jiff::Timestamp::UNIX_EPOCH,
            origin: Origin::fresh(),
            body: serde_json::value::RawValue::from_string("{}".to_owned()).expect("valid JSON"),
        };
        OutboxRow { number, envelope }
    }

    fn window(rows: &[(u64, &str)], now: Instant) -> Window {
        let mut window = Window::new(10, Backoff::new(Duration::from_secs(1), Duration::from_secs(4)));
        window.admit(rows.iter().map(|(number, aggregate)| row(*number, aggregate)).collect(), now);
        window
    }

    fn taken(window: &mut Window, now: Instant) -> Vec<u64> {
        window.take_due(now, 100).into_iter().map(|row| row.number).collect()
    }

    #[test]
    fn rows_of_one_aggregate_leave_one_after_the_other_and_others_do_not_wait() {
        let now = Instant::now();
        let mut window = window(&[(1, "a"), (2, "a"), (3, "b"), (4, "a")], now);

        assert_eq!(taken(&mut window, now), [1, 3]);
        assert!(taken(&mut window, now).is_empty());
        window.confirmed(1, now);
        assert_eq!(taken(&mut window, now), [2]);
    }

    #[test]
    fn a_row_that_failed_leaves_again_before_the_next_of_its_aggregate() {
        let now = Instant::now();
        let mut window = window(&[(1, "a"), (2, "a")], now);
        assert_eq!(taken(&mut window, now), [1]);

        window.failed(1, now, 1.0);

        assert!(taken(&mut window, now).is_empty());
        assert!(taken(&mut window, now + Duration::from_millis(999)).is_empty());
        assert_eq!(taken(&mut window, now + Duration::from_secs(1)), [1]);
    }

    #[test]
    fn a_row_that_was_not_sent_may_leave_at_once_and_before_the_next_of_its_aggregate() {
        let now = Instant::now();
        let mut window = window(&[(1, "a"), (2, "a"), (3, "b")], now);
        assert_eq!(taken(&mut window, now), [1, 3]);

        window.held(3, now);
        window.held(1, now);

        assert_eq!(taken(&mut window, now), [1, 3]);
        assert_eq!(window.in_flight(), 2);
    }

    #[test]
    fn the_return_of_the_broker_ends_every_wait() {
        let now = Instant::now();
        let mut window = window(&[(1, "a"), (2, "b")], now);
        taken(&mut window, now);
        window.failed(1, now, 1.0);
        window.failed(2, now, 1.0);

        window.retry_all(now);

        assert_eq!(taken(&mut window, now), [1, 2]);
    }

    #[test]
    fn a_row_stays_in_hand_until_it_has_left_the_outbox_and_is_not_admitted_twice() {
        let now = Instant::now();
        let mut window = window(&[(1, "a")], now);
        taken(&mut window, now);
        window.confirmed(1, now);

        window.admit(vec![row(1, "a")], now);
        assert!(taken(&mut window, now).is_empty(), "it is known, although nothing waits");
        let confirmed = window.take_confirmed();
        window.keep_confirmed(confirmed);
        assert_eq!(window.take_confirmed(), [1]);
        window.removed(&[1]);

        assert_eq!((window.len(), window.room(), window.in_flight()), (0, 10, 0));
    }
}
