use std::fmt;

use super::{Contestant, Run, Scenario};
use crate::bench::statistics::{Ratio, median};
use crate::bench::table::{Table, short, thousands, time};

/// What was measured, by contestant and scenario.
pub(super) struct Report<'a> {
    contestants: &'a [Contestant],
    scenarios: &'a [Scenario],
    cells: Vec<Cell>,
}

struct Cell {
    contestant: Contestant,
    scenario: Scenario,
    /// One a round.
    runs: Vec<Result<Run, String>>,
}

impl<'a> Report<'a> {
    pub fn new(contestants: &'a [Contestant], scenarios: &'a [Scenario]) -> Self {
        Self { contestants, scenarios, cells: Vec::new() }
    }

    pub fn add(&mut self, contestant: Contestant, scenario: Scenario, run: Run) {
        self.cell(contestant, scenario).runs.push(Ok(run));
    }

    /// There is no figure, for this reason.
    pub fn miss(&mut self, contestant: Contestant, scenario: Scenario, why: String) {
        self.cell(contestant, scenario).runs.push(Err(why));
    }

    fn cell(&mut self, contestant: Contestant, scenario: Scenario) -> &mut Cell {
        let is_it = |cell: &Cell| cell.contestant == contestant && cell.scenario == scenario;
        let index = self.cells.iter().position(is_it).unwrap_or_else(|| {
            self.cells.push(Cell { contestant, scenario, runs: Vec::new() });
            self.cells.len() - 1
        });
        &mut self.cells[index]
    }

    fn find(&self, contestant: Contestant, scenario: Scenario) -> Option<&Cell> {
        self.cells.iter().find(|cell| cell.contestant == contestant && cell.scenario == scenario)
    }
}

impl Cell {
    /// The figure of each round.
    fn each(&self, figure: impl Fn(&Run) -> Option<f64>) -> Vec<Option<f64>> {
        self.runs.iter().map(|run| run.as_ref().ok().and_then(&figure)).collect()
    }

    fn typical(&self, figure: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        median(self.each(figure).into_iter().flatten())
    }

    fn row(&self, nginx: Option<&Self>) -> Vec<String> {
        let name = self.contestant.name().to_owned();
        if let Some(Err(why)) = self.runs.iter().find(|run| run.is_err())
            && self.runs.iter().all(Result::is_err)
        {
            return vec![format!("{name}: {why}")];
        }
        let text = |value: Option<f64>, write: fn(f64) -> String| value.map_or("–".to_owned(), write);
        let percentile = |of: fn(&Run) -> u64| text(self.typical(|run| served(run, of(run) as f64)), time);
        let ratio = |figure: fn(&Run) -> Option<f64>| {
            let ratio = nginx.and_then(|nginx| Ratio::of(&self.each(figure), &nginx.each(figure)));
            ratio.map_or("–".to_owned(), |Ratio { median, least, most }| {
                if self.contestant == Contestant::Nginx {
                    return "1".to_owned();
                }
                format!("{median:.2} ({least:.2}–{most:.2})")
            })
        };
        let failed: u64 = self.runs.iter().flatten().map(|run| run.outcome.failures()).sum();

        vec![
            name,
            text(self.typical(rate), thousands),
            ratio(rate),
            text(self.typical(cost).map(|nanos| nanos / 1000.0), short),
            ratio(cost),
            text(self.typical(busy), |share| format!("{:.0} %", share * 100.0)),
            percentile(|run| run.outcome.p50),
            percentile(|run| run.outcome.p99),
            percentile(|run| run.outcome.p999),
            text(self.typical(|run| Some(run.peak_memory_kib as f64 / 1024.0)), short),
            thousands(failed as f64),
        ]
    }

    /// What went wrong, in words.
    fn troubles(&self) -> Vec<String> {
        let mut counts = std::collections::BTreeMap::<&str, u64>::new();
        for run in &self.runs {
            match run {
                Ok(run) => run
                    .outcome
                    .failed
                    .iter()
                    .for_each(|(what, count)| *counts.entry(what).or_default() += count),
                Err(why) => *counts.entry(why).or_default() += 1,
            }
        }
        let (contestant, scenario) = (self.contestant.name(), self.scenario.name);
        let line =
            |(what, count)| format!("{scenario}: {contestant}: {what} ({} times)", thousands(count as f64));
        counts.into_iter().map(line).collect()
    }
}

fn rate(run: &Run) -> Option<f64> {
    run.outcome.rate()
}

fn cost(run: &Run) -> Option<f64> {
    run.outcome.cost()
}

/// The share of the time that its core worked. Far below 1, requests/s tell how fast the load is, not the proxy.
fn busy(run: &Run) -> Option<f64> {
    Some(run.outcome.cost()? * run.outcome.rate()? / 1e9)
}

fn served(run: &Run, figure: f64) -> Option<f64> {
    (run.outcome.served > 0).then_some(figure)
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            "",
            "requests/s",
            "of nginx'",
            "CPU µs/request",
            "of nginx'",
            "core busy",
            "p50",
            "p99",
            "p99.9",
            "peak MiB",
            "failed",
        ]);
        for &scenario in self.scenarios {
            table.row([format!("**{}**", scenario.name)]);
            let nginx = self.find(Contestant::Nginx, scenario);
            let cells = self.contestants.iter().filter_map(|&contestant| self.find(contestant, scenario));
            cells.for_each(|cell| table.row(cell.row(nginx)));
        }
        write!(f, "{table}")?;

        for line in self.cells.iter().flat_map(Cell::troubles) {
            write!(f, "\n- {line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::Outcome;

    const SCENARIO: Scenario = Scenario::ALL[0];

    fn run(served: u64, cost: u64) -> Run {
        let outcome = Outcome {
            served,
            seconds: 2.0,
            processor_nanos: Some(cost * served),
            p50: 1_000_000,
            ..Outcome::default()
        };
        Run { outcome, peak_memory_kib: 2048 }
    }

    #[test]
    fn a_contestant_is_compared_with_nginx_round_by_round() {
        let mut report = Report::new(&[Contestant::WarrenPlain, Contestant::Nginx], &[SCENARIO]);
        for (own, nginx) in [(10_000, 20_000), (30_000, 40_000), (5_000, 10_000)] {
            report.add(Contestant::WarrenPlain, SCENARIO, run(1000, own));
            report.add(Contestant::Nginx, SCENARIO, run(2000, nginx));
        }

        let text = report.to_string();
        assert!(text.contains("| 0.50 (0.50–0.75) |"), "{text}");
        assert!(text.contains("|        500 |"), "{text}");
        assert!(text.contains("| 1.00 ms |"), "{text}");
    }

    #[test]
    fn who_is_not_installed_and_what_failed_is_said() {
        let mut report = Report::new(&Contestant::ALL, &[SCENARIO]);
        let mut bad = run(0, 0);
        bad.outcome.failed.insert("status 502".into(), 1234);
        report.add(Contestant::WarrenPlain, SCENARIO, bad);
        report.miss(Contestant::Nginx, SCENARIO, "not installed".into());

        let text = report.to_string();
        assert!(text.contains("nginx, plain: not installed"), "{text}");
        assert!(text.contains("| 1,234 |") || text.contains("|  1,234 |"), "{text}");
        assert!(text.contains("GET, 1 connection: warren, plain: status 502 (1,234 times)"), "{text}");
    }
}
