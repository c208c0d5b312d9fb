//! What came of it all, for people and for programs.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::inject::{Struck, Trouble};
use super::ledgers::Ways;
use super::resources::{Figures, Held};
use crate::load::Ledger;
use crate::load::audit::{Finding, Findings};

/// What a run gave.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Receipt {
    /// The seed of the plan.
    pub seed: u64,
    /// Product and version.
    pub broker: String,
    /// How long orders were placed.
    pub seconds: f64,
    /// Orders answered with a 2xx.
    pub accepted: usize,
    /// Those that were cancelled again.
    pub cancelled: usize,
    /// Users registered.
    pub users: usize,
    /// Answers that refused something, and attempts where nobody listened.
    pub refused: u64,
    /// Answers that left open what had happened, and were followed by another attempt under the same key.
    pub unknown: u64,
    /// Wishes that were never decided.
    pub undecided: usize,
    /// Different events that the broker passed on.
    pub events: usize,
    /// What was lost, doubled or otherwise wrong.
    pub findings: Findings,
    /// What the services' ledgers know of the way of each event.
    pub ways: Ways,
    /// The longest time in which no order was accepted.
    pub longest_outage_seconds: f64,
    /// The longest time from a wish for an order to its acceptance.
    pub slowest_order_seconds: f64,
    /// From the end of a fault until an order was accepted and counted, and all were healthy.
    pub recovery: Percentiles,
    /// From the link to the broker until hardly an event waited in the outboxes.
    pub slowest_drain_seconds: f64,
    /// From the last order until all was quiet and compared.
    pub audit_seconds: f64,
    /// The same again, once users and orders were killed and started again.
    pub audit_after_kill_seconds: f64,
    /// What was injected, by kind.
    pub faults: BTreeMap<String, Injected>,
    /// Processes that ended by themselves and were started again.
    pub ended: BTreeMap<String, u64>,
    /// Memory, threads and descriptors.
    pub held: BTreeMap<String, BeforeAndAfter>,
}

/// Some of many times, in seconds.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Percentiles {
    /// How many there were.
    pub count: usize,
    /// Half were not longer.
    pub p50: f64,
    /// Ninety-nine in a hundred were not longer.
    pub p99: f64,
    /// None was longer.
    pub longest: f64,
}

/// What is to be said of a kind of fault.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Injected {
    /// How often it was injected.
    pub count: u64,
    /// How often it was planned and this machine cannot have it.
    pub left_out: u64,
    /// The slowest recovery from it, or from it and another one together, in seconds.
    pub slowest_recovery: f64,
}

/// What the processes of one service held.
#[derive(Debug, Serialize)]
pub struct BeforeAndAfter {
    before: Held,
    after: Held,
    fresh: Held,
}

impl Receipt {
    /// Whether nothing was found where there was something to look at: a run that accepts nothing proves nothing.
    pub fn is_clear(&self) -> bool {
        self.findings.is_empty() && self.accepted > 0
    }

    /// Takes over what clients were told.
    pub(super) fn told(&mut self, ledger: &Ledger) {
        let sum = |counts: &BTreeMap<String, u64>| counts.values().sum::<u64>();
        self.accepted = ledger.placed.len();
        self.cancelled = ledger.cancelled.len();
        self.users = ledger.users.len();
        self.refused = sum(&ledger.refused) + sum(&ledger.not_connected);
        self.unknown = sum(&ledger.unknown);
        self.undecided = ledger.undecided.len();
        self.longest_outage_seconds = ledger.longest_gap.as_secs_f64();
        self.slowest_order_seconds = ledger.slowest.as_secs_f64();
    }

    /// Takes over what was injected, and how the system recovered.
    pub(super) fn struck(&mut self, struck: &[Struck]) {
        let recoveries = struck.iter().filter_map(|group| group.recovery).collect();
        self.recovery = Percentiles::of(recoveries);
        let drains = struck.iter().filter_map(|group| group.drain);
        self.slowest_drain_seconds = drains.max().unwrap_or_default().as_secs_f64();
        for group in struck {
            if group.drain.is_none() {
                self.findings.wrong.add(1, || "the outboxes did not become empty after a fault".to_owned());
            }
            for (planned, injected) in &group.faults {
                let kind = self.faults.entry(planned.fault.kind().name()).or_default();
                match injected {
                    Ok(()) => kind.count += 1,
                    Err(Trouble::LeftOut) => kind.left_out += 1,
                    Err(Trouble::Failed(why)) => {
                        self.findings.wrong.add(1, || format!("not injected: {}: {why}", planned.fault));
                    }
                }
                let recovery = group.recovery.unwrap_or_default().as_secs_f64();
                kind.slowest_recovery = kind.slowest_recovery.max(recovery);
                if group.recovery.is_none() {
                    self.findings.wrong.add(1, || format!("not recovered from: {}", planned.fault));
                }
            }
        }
    }

    /// Takes over what the services held.
    pub(super) fn held(&mut self, before: &Figures, after: &Figures, fresh: &Figures) {
        self.held = before
            .iter()
            .map(|(service, &before)| {
                let of = |figures: &Figures| figures.get(service).copied().unwrap_or_default();
                (service.name().to_owned(), BeforeAndAfter { before, after: of(after), fresh: of(fresh) })
            })
            .collect();
    }
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        let at = |share: f64| {
            let rank = (times.len() as f64 * share).ceil() as usize;
            times.get(rank.saturating_sub(1)).copied().unwrap_or_default().as_secs_f64()
        };
        Self { count: times.len(), p50: at(0.5), p99: at(0.99), longest: at(1.0) }
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, text: String| writeln!(f, "{name:<18}{text}");
        line("seed", self.seed.to_string())?;
        line("broker", self.broker.clone())?;
        let rate = self.accepted as f64 / self.seconds.max(0.001);
        line("accepted", format!("{} orders in {:.0} s, {rate:.0} a second", self.accepted, self.seconds))?;
        line(
            "",
            format!("{} of them cancelled, {} users, {} events", self.cancelled, self.users, self.events),
        )?;
        line("refused", self.refused.to_string())?;
        line("unknown", format!("{}, of which never decided {}", self.unknown, self.undecided))?;
        line("lost", self.findings.lost.count.to_string())?;
        line("doubled", self.findings.doubled.count.to_string())?;
        line("otherwise wrong", self.findings.wrong.count.to_string())?;
        line("ledger gaps", self.ways.to_string())?;
        line("longest outage", seconds(self.longest_outage_seconds))?;
        line("slowest order", seconds(self.slowest_order_seconds))?;
        let Percentiles { count, p50, p99, longest } = self.recovery;
        let (p50, p99, longest) = (seconds(p50), seconds(p99), seconds(longest));
        line("recovery", format!("p50 {p50}, p99 {p99}, longest {longest}, of {count}"))?;
        line("slowest drain", seconds(self.slowest_drain_seconds))?;
        let (audit, again) = (seconds(self.audit_seconds), seconds(self.audit_after_kill_seconds));
        line("audit", format!("{audit}, and again after kill -9 {again}"))?;

        writeln!(f, "\n{:<20}{:>9}   slowest recovery", "faults", "injected")?;
        for (kind, Injected { count, left_out, slowest_recovery }) in &self.faults {
            let slowest = seconds(*slowest_recovery);
            match left_out {
                0 => writeln!(f, "  {kind:<18}{count:>9}   {slowest}")?,
                _ => writeln!(
                    f,
                    "  {kind:<18}{count:>9}   {slowest}; {left_out} left out: no disk can be mounted here"
                )?,
            }
        }
        counted(f, "ended by themselves", &self.ended)?;

        writeln!(f, "\nheld")?;
        for (service, BeforeAndAfter { before, after, fresh }) in &self.held {
            writeln!(
                f,
                "  {service:<8}  before  {before}\n  {:<8}  after   {after}\n  {:<8}  fresh   {fresh}",
                "", ""
            )?;
        }
        for (name, finding) in [
            ("lost", &self.findings.lost),
            ("doubled", &self.findings.doubled),
            ("wrong", &self.findings.wrong),
        ] {
            examples(f, name, finding)?;
        }
        Ok(())
    }
}

fn counted(f: &mut fmt::Formatter<'_>, title: &str, counts: &BTreeMap<String, u64>) -> fmt::Result {
    if !counts.is_empty() {
        writeln!(f, "\n{title}")?;
    }
    counts.iter().try_for_each(|(what, count)| writeln!(f, "  {count:>4}  {what}"))
}

fn examples(f: &mut fmt::Formatter<'_>, name: &str, finding: &Finding) -> fmt::Result {
    if finding.count > 0 {
        writeln!(f, "\n{name}: {} in all, such as", finding.count)?;
    }
    finding.examples.iter().try_for_each(|example| writeln!(f, "  {example}"))
}

fn seconds(seconds: f64) -> String {
    format!("{seconds:.2} s")
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::chaos::fault::Fault;
    use crate::chaos::plan::Planned;

    fn struck(injected: Result<(), Trouble>) -> Receipt {
        let fault = Fault::BrokerKill;
        let planned = Planned { at: Duration::ZERO, length: Duration::ZERO, fault };
        let some = Some(Duration::from_secs(1));
        let mut receipt = Receipt { accepted: 1, ..Receipt::default() };
        receipt.struck(&[Struck {
            faults: vec![(planned, injected)],
            held: Figures::default(),
            recovery: some,
            drain: some,
            over: Timestamp::now(),
        }]);
        receipt
    }

    #[test]
    fn only_what_was_injected_is_counted_and_what_failed_is_wrong() {
        let counts = |receipt: &Receipt| {
            let injected = receipt.faults.values().next().expect("it was planned");
            (injected.count, injected.left_out, receipt.is_clear())
        };

        assert_eq!(counts(&struck(Ok(()))), (1, 0, true));
        assert_eq!(counts(&struck(Err(Trouble::LeftOut))), (0, 1, true));
        assert_eq!(counts(&struck(Err(Trouble::Failed("no".to_owned())))), (0, 0, false));
    }

    #[test]
    fn a_run_that_accepts_nothing_is_not_clear() {
        assert!(!Receipt::default().is_clear());
    }

    #[test]
    fn of_few_recoveries_the_percentiles_are_among_them() {
        let times = [3, 1, 2].map(Duration::from_secs).to_vec();
        let Percentiles { count, p50, p99, longest } = Percentiles::of(times);

        assert_eq!((count, p50, p99, longest), (3, 2.0, 3.0, 3.0));
        assert_eq!(Percentiles::of(Vec::new()).count, 0);
    }
}
