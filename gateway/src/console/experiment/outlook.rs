use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use tokio::time::Instant;

use super::{Experiment, Findings, Receipt, Tally, Verdict, site::Waiting};

/// What is seen while an experiment runs.
#[derive(Debug, Default)]
pub(super) struct Outlook {
    most_waited: Cell<u64>,
    /// Most that waited while nothing was broken: under load there is always something on its way.
    usual: Cell<Option<u64>>,
    /// From when on it counts that no more wait than usual, and that none do.
    drains_since: Cell<Option<Instant>>,
    drained: Cell<Option<Instant>>,
    is_empty: Cell<bool>,
    fault: Cell<Option<(Instant, Instant)>>,
    recovered: Cell<Option<Instant>>,
    /// What did not happen as it was planned.
    failures: RefCell<Vec<String>>,
}

impl Outlook {
    /// What waits from now on is no longer what usually does.
    pub(super) fn fault_begins(&self) {
        self.usual.set(Some(self.most_waited.get()));
    }

    /// The fault is over that struck at `struck`.
    pub(super) fn fault_ends(&self, struck: Instant) {
        self.fault.set(Some((struck, Instant::now())));
    }

    /// From now on the outboxes are expected to empty.
    pub(super) fn drains(&self) {
        if self.drains_since.get().is_none() {
            self.drains_since.set(Some(Instant::now()));
        }
    }

    /// Everything is ready again.
    pub(super) fn recovers(&self) {
        self.recovered.set(Some(Instant::now()));
    }

    /// So many events wait, asked for at `asked`.
    pub(super) fn sees(&self, waiting: Waiting, asked: Instant) {
        self.most_waited.set(self.most_waited.get().max(waiting.known));
        let counts = self.drains_since.get().is_some_and(|since| asked >= since);
        if counts
            && waiting.all
            && waiting.known <= self.usual.get().unwrap_or(0)
            && self.drained.get().is_none()
        {
            self.drained.set(Some(Instant::now()));
        }
        self.is_empty.set(counts && waiting.all && waiting.known == 0);
    }

    /// Whether the outboxes were seen empty, the last time that they were looked at.
    pub(super) fn is_empty(&self) -> bool {
        self.is_empty.get()
    }

    /// Something did not happen as it was planned, so that the receipt cannot be clear.
    pub(super) fn fail(&self, why: impl Into<String>) {
        self.failures.borrow_mut().push(why.into());
    }

    /// Writes the receipt.
    pub(super) fn receipt(
        self,
        experiment: Experiment,
        began: Instant,
        tally: &Tally,
        findings: Findings,
    ) -> Receipt {
        let Experiment { number, kind, title, started_at, .. } = experiment;
        let Findings { lost, doubled, mut verdict, notes } = findings;
        let mut all_notes = self.failures.into_inner();
        if !all_notes.is_empty() && verdict == Verdict::Clear {
            verdict = Verdict::Incomplete;
        }
        all_notes.extend(notes);
        if tally.unknown_at_first() > 0 {
            all_notes.push(format!(
                "{} orders had no answer at first, and were asked for again with the same key",
                tally.unknown_at_first()
            ));
        }
        let ended = self.fault.get().map(|(_, ended)| ended);
        let since_end =
            |at: Option<Instant>| ended.zip(at).map(|(ended, at)| ms(at.saturating_duration_since(ended)));
        Receipt {
            number,
            kind,
            title,
            started_at,
            lasted_ms: ms(began.elapsed()),
            fault_ms: self.fault.get().map_or(0, |(struck, ended)| ms(ended - struck)),
            recovered_ms: since_end(self.recovered.get()),
            accepted: tally.accepted(),
            refused: tally.refused(),
            unknown: tally.unknown_at_first(),
            waited: self.most_waited.get(),
            drained_ms: since_end(self.drained.get()),
            lost,
            doubled,
            verdict,
            notes: all_notes,
        }
    }
}

fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::{
        super::{Kind, Phase},
        *,
    };

    const CLEAR: Findings =
        Findings { lost: Some(0), doubled: Some(0), verdict: Verdict::Clear, notes: Vec::new() };

    fn experiment() -> Experiment {
        Experiment {
            number: 1,
            kind: Kind::CutLink,
            title: "Cut".to_owned(),
            started_at: Timestamp::UNIX_EPOCH,
            phase: Phase::Auditing,
            accepted: 0,
            refused: 0,
        }
    }

    #[test]
    fn an_outbox_counts_as_drained_only_where_all_tell_so_after_the_fault() {
        let outlook = Outlook::default();
        let (empty, partly) = (Waiting { known: 0, all: true }, Waiting { known: 0, all: false });
        let before = Instant::now();

        outlook.sees(empty, before);
        outlook.drains();
        outlook.sees(empty, before);
        outlook.sees(partly, Instant::now());
        outlook.sees(Waiting { known: 7, all: true }, Instant::now());
        assert!(!outlook.is_empty());
        outlook.sees(empty, Instant::now());

        assert!(outlook.is_empty());
        outlook.fault_ends(before);
        let receipt = outlook.receipt(experiment(), before, &Tally::default(), CLEAR);
        assert_eq!((receipt.waited, receipt.verdict), (7, Verdict::Clear));
    }

    #[test]
    fn what_is_always_on_its_way_under_load_does_not_count_as_waiting_still() {
        let outlook = Outlook::default();
        let some = |known| Waiting { known, all: true };
        let struck = Instant::now();

        outlook.sees(some(3), struck);
        outlook.fault_begins();
        outlook.sees(some(70), Instant::now());
        outlook.fault_ends(struck);
        outlook.drains();
        outlook.sees(some(4), Instant::now());
        assert!(outlook.drained.get().is_none());
        outlook.sees(some(3), Instant::now());

        assert!(outlook.drained.get().is_some() && !outlook.is_empty());
    }

    #[test]
    fn what_did_not_go_as_planned_is_never_clear() {
        let outlook = Outlook::default();
        outlook.fail("nothing was broken");

        let receipt = outlook.receipt(experiment(), Instant::now(), &Tally::default(), CLEAR);

        assert_eq!((receipt.verdict, receipt.recovered_ms), (Verdict::Incomplete, None));
        assert_eq!(receipt.notes, ["nothing was broken"]);
    }
}
