//! What is published and not yet settled: which answer of the broker is about which message.
//!
//! The broker returns an unroutable message and then confirms it like any other. lapin keeps the returned
//! message and hangs it on *the next confirm that it handles*, and where one frame confirms several messages it
//! handles them in no order. So `Ack(None)` alone does not prove that a message was routed: its return may hang
//! on a neighbour. Three facts do:
//!
//! - a return comes before the confirm of its message, and every confirm takes one waiting return along;
//! - so a confirm without a return found none waiting: the return of its message, if there was one, hangs on a
//!   confirm handled before, perhaps in the same frame;
//! - and once nothing is unconfirmed, no return is left waiting.
//!
//! Hence the verdict on a message waits until the frame that confirmed it is handled to its end (which the
//! publisher makes sure of, see [`Window::answered`]), and on one that carries the return of another, until a
//! later confirm carries none, or nothing is unconfirmed.
//!
//! Pure: the time comes from the caller.

use std::{
    collections::{BTreeMap, HashMap},
    mem,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

use super::PublishOutcome;

/// Where a message was published to; whether it can be routed depends on nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) exchange: String,
    pub(super) routing_key: String,
}

/// What became of a message handed over.
#[derive(Debug)]
pub(super) enum Answer {
    /// The broker confirmed it, and this return was waiting.
    Ack(Option<Route>),
    /// The broker could not take it, and this return was waiting.
    Nack(Option<Route>),
    /// It was refused before any of it left.
    NotSent(String),
    /// The channel ended first.
    Lost(String),
}

impl Answer {
    fn returned(&self) -> Option<&Route> {
        match self {
            Self::Ack(returned) | Self::Nack(returned) => returned.as_ref(),
            Self::NotSent(_) | Self::Lost(_) => None,
        }
    }
}

/// Messages handed over, numbered in their order, and the batches that they came in.
#[derive(Debug, Default)]
pub(super) struct Window {
    entries: BTreeMap<u64, Entry>,
    batches: HashMap<u64, Batch>,
    next_entry: u64,
    next_batch: u64,
    /// How many entries have no answer yet.
    unanswered: usize,
    /// Answered in the round before; their verdict is due.
    due: Vec<(u64, Answer)>,
    /// Confirmed with the return of another message.
    doubtful: Vec<u64>,
    /// When the broker last began to take messages again.
    unblocked: Option<Instant>,
    closed: Option<String>,
}

#[derive(Debug)]
struct Entry {
    batch: u64,
    index: usize,
    route: Route,
    since: Instant,
    returned: bool,
}

#[derive(Debug)]
struct Batch {
    outcomes: Vec<PublishOutcome>,
    missing: usize,
    reply: oneshot::Sender<Vec<PublishOutcome>>,
}

impl Window {
    /// How many messages are not settled.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Why nothing may be handed over any more.
    pub(super) fn closed(&self) -> Option<&str> {
        self.closed.as_deref()
    }

    /// Opens a batch of `size` messages, each of which is [entered](Self::enter) next.
    pub(super) fn open(&mut self, size: usize) -> (u64, oneshot::Receiver<Vec<PublishOutcome>>) {
        let (reply, outcomes) = oneshot::channel();
        let id = self.next_batch;
        self.next_batch += 1;
        let batch = Batch { outcomes: vec![PublishOutcome::Confirmed; size], missing: size, reply };
        match size {
            // Nobody is there to settle it.
            0 => drop(batch.reply.send(Vec::new())),
            _ => drop(self.batches.insert(id, batch)),
        }
        (id, outcomes)
    }

    /// Enters the message at `index` of a batch and returns its number.
    pub(super) fn enter(&mut self, batch: u64, index: usize, route: Route, now: Instant) -> u64 {
        let number = self.next_entry;
        self.next_entry += 1;
        self.unanswered += 1;
        self.entries.insert(number, Entry { batch, index, route, since: now, returned: false });
        number
    }

    /// Takes the answers that came since the last call and returns the verdicts that are now certain.
    ///
    /// Between two calls, the caller lets the frame that is being handled come to its end. It calls again, with
    /// nothing if need be, as long as [`is_undecided`](Self::is_undecided).
    pub(super) fn answered(&mut self, fresh: Vec<(u64, Answer)>) -> Vec<PublishOutcome> {
        self.unanswered = self.unanswered.saturating_sub(fresh.len());
        self.mark_returned(&fresh);
        let due = mem::replace(&mut self.due, fresh);
        let nothing_waits =
            due.iter().any(|(_, answer)| matches!(answer, Answer::Ack(None) | Answer::Nack(None)));
        let settled_before = if nothing_waits { mem::take(&mut self.doubtful) } else { Vec::new() };
        let mut verdicts = Vec::with_capacity(due.len() + settled_before.len());
        for (number, answer) in due {
            let own = |entry: &Entry, returned: &Route| entry.route == *returned;
            let outcome = match (answer, self.entries.get(&number)) {
                (Answer::Ack(Some(returned)), Some(entry)) if !own(entry, &returned) => {
                    self.doubtful.push(number);
                    continue;
                }
                (Answer::Ack(_), _) => PublishOutcome::Confirmed,
                (Answer::Nack(_), _) => PublishOutcome::Refused,
                (Answer::NotSent(reason), _) => PublishOutcome::NotSent(reason),
                (Answer::Lost(reason), _) => PublishOutcome::Unknown(reason),
            };
            verdicts.extend(self.settle(number, outcome));
        }
        let confirmed = |number| (number, PublishOutcome::Confirmed);
        let certain = match self.unanswered == 0 && self.due.is_empty() {
            true => mem::take(&mut self.doubtful),
            false => Vec::new(),
        };
        for (number, outcome) in settled_before.into_iter().chain(certain).map(confirmed) {
            verdicts.extend(self.settle(number, outcome));
        }
        verdicts
    }

    /// Whether [`answered`](Self::answered) is to be called again without waiting for answers.
    pub(super) fn is_undecided(&self) -> bool {
        !self.due.is_empty()
    }

    /// Suspends the deadlines: what happened before `now` is forgiven.
    pub(super) fn unblocked_at(&mut self, now: Instant) {
        self.unblocked = Some(now);
    }

    /// When the oldest message is overdue, if the broker does not settle it before.
    pub(super) fn overdue_at(&self, timeout: Duration) -> Option<Instant> {
        let (_, oldest) = self.entries.first_key_value()?;
        Some(self.unblocked.map_or(oldest.since, |unblocked| unblocked.max(oldest.since)) + timeout)
    }

    /// Settles everything as unknown, for this reason; nothing is handed over any more.
    pub(super) fn close(&mut self, reason: &str) -> Vec<PublishOutcome> {
        self.closed.get_or_insert_with(|| reason.to_owned());
        self.due.clear();
        self.doubtful.clear();
        self.unanswered = 0;
        let numbers: Vec<u64> = self.entries.keys().copied().collect();
        let unknown = || PublishOutcome::Unknown(reason.to_owned());
        numbers.into_iter().filter_map(|number| self.settle(number, unknown())).collect()
    }

    /// A return says that its route leads nowhere: no message under way on it counts as routed.
    fn mark_returned(&mut self, fresh: &[(u64, Answer)]) {
        let mut routes: Vec<&Route> = Vec::new();
        for route in fresh.iter().filter_map(|(_, answer)| answer.returned()) {
            if !routes.contains(&route) {
                routes.push(route);
            }
        }
        if routes.is_empty() {
            return;
        }
        for entry in self.entries.values_mut().filter(|entry| routes.contains(&&entry.route)) {
            entry.returned = true;
        }
    }

    fn settle(&mut self, number: u64, outcome: PublishOutcome) -> Option<PublishOutcome> {
        let entry = self.entries.remove(&number)?;
        let outcome = match outcome {
            PublishOutcome::Confirmed if entry.returned => PublishOutcome::Unroutable,
            outcome => outcome,
        };
        let batch = self.batches.get_mut(&entry.batch)?;
        batch.outcomes[entry.index] = outcome.clone();
        batch.missing -= 1;
        if batch.missing == 0
            && let Some(batch) = self.batches.remove(&entry.batch)
        {
            // Whoever asked may have given up.
            let _ = batch.reply.send(batch.outcomes);
        }
        Some(outcome)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use PublishOutcome::{Confirmed, Refused, Unknown, Unroutable};

    fn route(routing_key: &str) -> Route {
        Route { exchange: "events".to_owned(), routing_key: routing_key.to_owned() }
    }

    fn window_of(routing_keys: &[&str]) -> (Window, oneshot::Receiver<Vec<PublishOutcome>>) {
        let mut window = Window::default();
        let (batch, outcomes) = window.open(routing_keys.len());
        let now = Instant::now();
        for (index, key) in routing_keys.iter().enumerate() {
            window.enter(batch, index, route(key), now);
        }
        (window, outcomes)
    }

    /// Gives the answers of one frame and lets it come to its end.
    fn answer(window: &mut Window, frame: Vec<(u64, Answer)>) {
        window.answered(frame);
        while window.is_undecided() {
            window.answered(Vec::new());
        }
    }

    #[test]
    fn what_is_confirmed_without_a_return_is_confirmed() {
        let (mut window, mut outcomes) = window_of(&["a", "a"]);

        answer(&mut window, vec![(1, Answer::Ack(None)), (0, Answer::Nack(None))]);

        assert_eq!(outcomes.try_recv(), Ok(vec![Refused, Confirmed]));
        assert_eq!(window.len(), 0);
    }

    #[test]
    fn a_return_that_hangs_on_a_neighbour_in_the_same_frame_is_found() {
        for frame in [
            vec![(0, Answer::Ack(Some(route("nowhere")))), (1, Answer::Ack(None))],
            vec![(1, Answer::Ack(None)), (0, Answer::Ack(Some(route("nowhere"))))],
            vec![(0, Answer::Ack(None)), (1, Answer::Ack(Some(route("nowhere"))))],
        ] {
            let (mut window, mut outcomes) = window_of(&["a", "nowhere"]);

            answer(&mut window, frame);

            assert_eq!(outcomes.try_recv(), Ok(vec![Confirmed, Unroutable]));
        }
    }

    #[test]
    fn half_a_frame_settles_nothing() {
        let (mut window, mut outcomes) = window_of(&["nowhere", "a"]);

        let verdicts = window.answered(vec![(0, Answer::Ack(None))]);
        assert_eq!(verdicts, []);
        assert!(window.is_undecided());
        answer(&mut window, vec![(1, Answer::Ack(Some(route("nowhere"))))]);

        assert_eq!(outcomes.try_recv(), Ok(vec![Unroutable, Confirmed]));
    }

    #[test]
    fn a_confirm_with_the_return_of_another_waits_until_no_return_is_left() {
        // Both are returned; the confirms come in the other order, each with the return of the other.
        let (mut window, mut outcomes) = window_of(&["nowhere", "away", "a"]);

        answer(&mut window, vec![(1, Answer::Ack(Some(route("nowhere"))))]);
        assert_eq!(window.len(), 3);
        answer(&mut window, vec![(0, Answer::Ack(Some(route("away"))))]);
        answer(&mut window, vec![(2, Answer::Ack(None))]);

        assert_eq!(outcomes.try_recv(), Ok(vec![Unroutable, Unroutable, Confirmed]));
    }

    #[test]
    fn a_confirm_with_the_return_of_another_is_settled_by_a_later_one_without() {
        let (mut window, _outcomes) = window_of(&["a", "nowhere", "b", "c"]);

        answer(&mut window, vec![(0, Answer::Ack(Some(route("nowhere"))))]);
        window.answered(vec![(2, Answer::Ack(None))]);
        let verdicts = window.answered(Vec::new());

        assert_eq!(verdicts, [Confirmed, Confirmed]);
        assert_eq!(window.len(), 2);
    }

    #[test]
    fn closing_leaves_nobody_waiting() {
        let (mut window, mut outcomes) = window_of(&["a", "a"]);
        window.answered(vec![(0, Answer::Ack(None))]);

        window.close("the link ended");

        let unknown = || Unknown("the link ended".to_owned());
        assert_eq!(outcomes.try_recv(), Ok(vec![unknown(), unknown()]));
        assert_eq!(window.closed(), Some("the link ended"));
    }

    #[test]
    fn an_empty_batch_is_settled_at_once() {
        let (_, mut outcomes) = window_of(&[]);

        assert_eq!(outcomes.try_recv(), Ok(vec![]));
    }

    #[test]
    fn time_spent_blocked_does_not_count_against_the_deadline() {
        let timeout = Duration::from_secs(10);
        let (mut window, _outcomes) = window_of(&["a"]);
        let entered = window.overdue_at(timeout).expect("one message is under way") - timeout;

        window.unblocked_at(entered + Duration::from_secs(60));

        assert_eq!(window.overdue_at(timeout), Some(entered + Duration::from_secs(70)));
    }
}
