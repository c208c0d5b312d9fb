use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::{Experiment, Phase, Plan, Receipt, Tally, Verdict};

/// How many receipts are kept.
const RECEIPTS: usize = 20;

/// What is known of the experiments of this process; in memory alone. Clones share it.
#[derive(Clone)]
pub struct Notebook(Arc<Shared>);

struct Shared {
    pages: Mutex<Pages>,
    tell: Box<dyn Fn(&Receipt) + Send + Sync>,
}

#[derive(Default)]
struct Pages {
    begun: u64,
    current: Option<Experiment>,
    receipts: VecDeque<Receipt>,
}

impl Notebook {
    /// An empty one, which tells `tell` what each experiment came to.
    pub fn new(tell: impl Fn(&Receipt) + Send + Sync + 'static) -> Self {
        Self(Arc::new(Shared { pages: Mutex::default(), tell: Box::new(tell) }))
    }

    /// The experiment that runs.
    pub fn current(&self) -> Option<Experiment> {
        self.pages().current.clone()
    }

    /// The last receipts, newest first.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.pages().receipts.iter().cloned().collect()
    }

    /// Opens a page for an experiment by `plan`; `None` where another one is open.
    pub(super) fn begin(&self, plan: &Plan) -> Option<Experiment> {
        let mut pages = self.pages();
        if pages.current.is_some() {
            return None;
        }
        pages.begun += 1;
        let now = Timestamp::now();
        let experiment = Experiment {
            number: pages.begun,
            kind: plan.kind(),
            title: plan.title(),
            // As it is shown.
            started_at: Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now),
            phase: Phase::Loading,
            accepted: 0,
            refused: 0,
        };
        pages.current = Some(experiment.clone());
        Some(experiment)
    }

    /// Notes how far the experiment is.
    pub(super) fn note(&self, phase: Phase, tally: &Tally) {
        if let Some(current) = &mut self.pages().current {
            current.phase = phase;
            current.accepted = tally.accepted();
            current.refused = tally.refused();
        }
    }

    /// Closes the page.
    pub(super) fn end(&self, receipt: Receipt) {
        {
            let mut pages = self.pages();
            pages.current = None;
            pages.receipts.push_front(receipt.clone());
            pages.receipts.truncate(RECEIPTS);
        }
        (self.0.tell)(&receipt);
    }

    /// Closes a page that was left open by somebody who is no more.
    pub(super) fn give_up(&self, why: &str) {
        let Some(Experiment { number, kind, title, started_at, accepted, refused, .. }) = self.current()
        else {
            return;
        };
        let lasted = Timestamp::now().duration_since(started_at).as_millis();
        self.end(Receipt {
            number,
            kind,
            title,
            started_at,
            lasted_ms: u64::try_from(lasted).unwrap_or(0),
            fault_ms: 0,
            recovered_ms: None,
            accepted,
            refused,
            unknown: 0,
            waited: 0,
            drained_ms: None,
            lost: None,
            doubled: None,
            verdict: Verdict::Incomplete,
            notes: vec![why.to_owned()],
        });
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        // A panic while the lock is held leaves whole values behind.
        self.0.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_experiment_runs_at_a_time_and_the_last_twenty_receipts_are_kept() {
        let notebook = Notebook::new(|_| {});

        for number in 1..=RECEIPTS as u64 + 3 {
            let begun = notebook.begin(&Plan::PlaceOrders(7)).expect("none runs");
            assert_eq!((begun.number, begun.title.as_str()), (number, "Place 7 orders"));
            assert_eq!(notebook.begin(&Plan::PlaceOrders(1)), None, "one runs");
            notebook.give_up("it is enough");
            assert_eq!(notebook.current(), None);
        }

        let receipts = notebook.receipts();
        assert_eq!(receipts.len(), RECEIPTS);
        assert_eq!(receipts[0].number, RECEIPTS as u64 + 3);
        assert_eq!((receipts[0].verdict, receipts[0].lost), (Verdict::Incomplete, None));
    }

    #[test]
    fn it_knows_how_far_an_experiment_is_and_tells_what_it_came_to() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let heard = told.clone();
        let notebook = Notebook::new(move |receipt| {
            heard.lock().expect("no panic").push((receipt.number, receipt.accepted));
        });
        let mut tally = Tally::default();
        notebook.begin(&Plan::PlaceOrders(1));
        let order = tally.begin();
        tally.settle(order, super::super::Outcome::Accepted("o1".to_owned()));

        notebook.note(Phase::Draining, &tally);

        let current = notebook.current().map(|it| (it.phase, it.accepted, it.refused));
        assert_eq!(current, Some((Phase::Draining, 1, 0)));
        assert_eq!(*told.lock().expect("no panic"), []);
        notebook.give_up("it is enough");
        assert_eq!(*told.lock().expect("no panic"), [(1, 1)]);
    }
}
