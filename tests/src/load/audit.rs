//! Whether the system holds what clients were told, to the last order, and nothing else.
//!
//! - The orders service has exactly the accepted orders of each user, and exactly the cancelled ones are;
//! - each user's `orderCount` is exactly what was accepted less what was cancelled, when no event is on its way any more:
//!   not in an outbox, not in a queue, and not in a consumer's hands;
//! - the users service has everybody who registered, and the orders service has heard the name of each who ordered.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use common::broker::{BrokerConfig, Queues};
use futures_util::StreamExt;
use futures_util::stream;
use serde::Serialize;
use serde_json::Value;
use tokio::time::sleep;

use super::{Ledger, under_way};
use crate::harness::System;
use crate::http::Http;

/// How often one looks whether everything has come to rest.
const LOOK: Duration = Duration::from_millis(100);

/// So often in a row, nothing must be on its way before a wrong count is believed: what a consumer hands to a retry queue
/// can slip past a single look.
const LOOKS_AT_REST: usize = 10;

/// Users that are asked for at a time.
const AT_A_TIME: usize = 8;

/// How many examples of a finding are kept.
const EXAMPLES: usize = 10;

/// What an audit found that must not be.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Findings {
    /// Accepted, and not there, or without its effect.
    pub lost: Finding,
    /// There, or counted, more often than it was accepted.
    pub doubled: Finding,
    /// Anything else.
    pub wrong: Finding,
}

/// How often something was found, and the first examples.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Finding {
    /// How often.
    pub count: u64,
    /// Said in words.
    pub examples: Vec<String>,
}

impl Findings {
    /// Whether nothing was found.
    pub fn is_empty(&self) -> bool {
        [&self.lost, &self.doubled, &self.wrong].iter().all(|finding| finding.count == 0)
    }

    /// Adds what another look has found.
    pub fn extend(&mut self, other: Self) {
        for (finding, more) in
            [(&mut self.lost, other.lost), (&mut self.doubled, other.doubled), (&mut self.wrong, other.wrong)]
        {
            finding.take(&more);
        }
    }
}

impl Findings {
    /// Takes over what a second look at the same has found. What is missing or there twice in both is so once.
    pub fn confirm(&mut self, again: Self) {
        for (finding, again) in [(&mut self.lost, again.lost), (&mut self.doubled, again.doubled)] {
            if again.count > finding.count {
                *finding = again;
            }
        }
        let is_new = |example: &String| !self.wrong.examples.contains(example);
        let examples: Vec<String> =
            again.wrong.examples.iter().filter(|&example| is_new(example)).cloned().collect();
        let known = (again.wrong.examples.len() - examples.len()) as u64;
        let wrong = Finding { count: again.wrong.count - known, examples };
        self.extend(Self { wrong, ..Self::default() });
    }
}

impl Finding {
    /// Adds what another look has found of it.
    pub fn take(&mut self, more: &Self) {
        self.count += more.count;
        let room = EXAMPLES.saturating_sub(self.examples.len());
        self.examples.extend(more.examples.iter().take(room).cloned());
    }

    /// Notes so many of one kind.
    pub fn add(&mut self, count: u64, example: impl FnOnce() -> String) {
        self.count += count;
        if count > 0 && self.examples.len() < EXAMPLES {
            self.examples.push(example());
        }
    }
}

/// Waits until nothing is on its way any more, at most as long as `patience`, and compares.
pub async fn run(ledger: &Ledger, system: &System, patience: Duration) -> Findings {
    let mut findings = Findings::default();
    // Connections of its own, which end with the audit.
    let (users, orders) = (Http::new(system.users.http.base()), Http::new(system.orders.http.base()));
    settle(ledger, system, &users, patience, &mut findings).await;
    compare_orders(ledger, &orders, &mut findings).await;
    findings
}

/// Waits until every order is counted once and nothing is on its way, or nothing is on its way and the counts stay wrong.
async fn settle(ledger: &Ledger, system: &System, users: &Http, patience: Duration, findings: &mut Findings) {
    let expected = ledger.expected_counts();
    let end = Instant::now() + patience;
    let mut queues = None;
    let mut at_rest = 0;
    loop {
        // First, because what is counted after this is too late.
        let on_their_way = on_their_way(system, &mut queues).await;
        at_rest = if on_their_way.is_empty() { at_rest + 1 } else { 0 };
        let wrong = wrong_counts(users, &expected).await;
        if wrong.is_empty() && on_their_way.is_empty() {
            return;
        }
        let is_over = Instant::now() >= end;
        if is_over && !on_their_way.is_empty() {
            findings
                .wrong
                .add(1, || format!("after {patience:?} still on their way: {}", on_their_way.join(", ")));
        }
        if is_over || at_rest >= LOOKS_AT_REST {
            wrong.into_iter().for_each(|wrong| wrong.add_to(findings));
            return;
        }
        sleep(LOOK).await;
    }
}

async fn on_their_way(system: &System, queues: &mut Option<Queues>) -> Vec<String> {
    if queues.is_none() {
        let connected = match BrokerConfig::for_url(&system.amqp_url) {
            Ok(config) => Queues::connect(&config).await.map_err(|error| error.to_string()),
            Err(mistake) => Err(mistake),
        };
        match connected {
            Ok(connected) => *queues = Some(connected),
            Err(error) => return vec![error],
        }
    }
    let Some(connected) = queues else { return Vec::new() };
    let found = under_way(system, async |queue| connected.waiting(queue).await.ok().flatten()).await;
    if !found.is_empty() {
        // It may be the connection that is wrong.
        *queues = None;
    }
    found
}

/// A user whose orders are counted wrongly, or not at all.
enum Wrong {
    Count { user: String, counted: i64, expected: i64 },
    Unknown { user: String, why: String },
}

impl Wrong {
    fn add_to(self, findings: &mut Findings) {
        match self {
            Self::Count { user, counted, expected } => {
                let finding = if counted < expected { &mut findings.lost } else { &mut findings.doubled };
                finding.add(counted.abs_diff(expected), || {
                    format!("{user} has {counted} orders instead of {expected}")
                });
            }
            Self::Unknown { user, why } => findings.lost.add(1, || format!("user {user}: {why}")),
        }
    }
}

async fn wrong_counts(users: &Http, expected: &BTreeMap<&str, i64>) -> Vec<Wrong> {
    let asked = expected.iter().map(async |(&user, &expected)| {
        let wrong = match get(users, &format!("/users/{user}")).await {
            Ok(found) => match found["orderCount"].as_i64() {
                Some(counted) if counted == expected => return None,
                Some(counted) => Wrong::Count { user: user.to_owned(), counted, expected },
                None => Wrong::Unknown { user: user.to_owned(), why: format!("no orderCount in {found}") },
            },
            Err(why) => Wrong::Unknown { user: user.to_owned(), why },
        };
        Some(wrong)
    });
    stream::iter(asked).buffer_unordered(AT_A_TIME).filter_map(async |wrong| wrong).collect().await
}

async fn compare_orders(ledger: &Ledger, orders: &Http, findings: &mut Findings) {
    let asked = ledger.users.iter().map(async |(user, name)| (user, name, orders_of(orders, user).await));
    let mut answers = stream::iter(asked).buffer_unordered(AT_A_TIME);
    let mut stored = BTreeSet::new();
    while let Some((user, name, orders)) = answers.next().await {
        let orders = match orders {
            Ok(orders) => orders,
            Err(why) => {
                findings.wrong.add(1, || format!("the orders of {user}: {why}"));
                continue;
            }
        };
        if orders.iter().any(|order| order["customerName"] != **name) {
            findings.lost.add(1, || format!("the name of {user}, {name}, is not known to orders"));
        }
        for order in orders {
            let id = order["id"].as_str().unwrap_or_default().to_owned();
            match (order["status"] == "cancelled", ledger.cancelled.contains(&id)) {
                (true, false) => {
                    findings.wrong.add(1, || format!("cancelled, and nobody was told so: {order}"))
                }
                (false, true) => findings.lost.add(1, || format!("it was cancelled: {order}")),
                _ => {}
            }
            if ledger.placed.get(&id) != Some(user) {
                findings.wrong.add(1, || format!("it is there, and nobody was told so: {order}"));
            }
            if !stored.insert(id) {
                findings.doubled.add(1, || format!("it is there twice: {order}"));
            }
        }
    }
    for id in ledger.placed.keys().filter(|&id| !stored.contains(id)) {
        findings.lost.add(1, || format!("order {id} was accepted and is not there"));
    }
}

/// All orders of a user, page by page.
async fn orders_of(http: &Http, user: &str) -> Result<Vec<Value>, String> {
    let mut orders = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/orders?userId={user}&limit=100{cursor}");
        let mut page = get(http, &path).await?;
        if let Value::Array(items) = page["items"].take() {
            orders.extend(items);
        }
        match page["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return Ok(orders),
        }
    }
}

async fn get(http: &Http, path: &str) -> Result<Value, String> {
    let answer = http.get(path).send().await.map_err(|error| error.to_string())?;
    match answer.status.as_u16() {
        200 => serde_json::from_slice(&answer.body).map_err(|error| error.to_string()),
        _ => Err(answer.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_are_lost_and_too_many_are_doubled_by_their_number() {
        let mut findings = Findings::default();
        for (counted, expected) in [(3, 5), (9, 8)] {
            Wrong::Count { user: "a".into(), counted, expected }.add_to(&mut findings);
        }

        assert_eq!((findings.lost.count, findings.doubled.count, findings.wrong.count), (2, 1, 0));
        assert_eq!(findings.lost.examples, ["a has 3 orders instead of 5"]);
        assert!(!findings.is_empty());
    }

    #[test]
    fn what_two_looks_find_is_found_once_and_what_only_the_second_finds_is_found() {
        let finding = |count, examples: &[&str]| Finding {
            count,
            examples: examples.iter().map(|&example| example.to_owned()).collect(),
        };
        let mut findings =
            Findings { lost: finding(2, &["a"]), doubled: finding(0, &[]), wrong: finding(1, &["x"]) };

        findings.confirm(Findings {
            lost: finding(1, &["b"]),
            doubled: finding(3, &["c"]),
            wrong: finding(2, &["x", "y"]),
        });

        assert_eq!((findings.lost.count, findings.doubled.count, findings.wrong.count), (2, 3, 2));
        assert_eq!(
            (findings.lost.examples[0].as_str(), findings.wrong.examples),
            ("a", vec!["x".into(), "y".into()])
        );
    }

    #[test]
    fn of_many_findings_the_first_are_told_and_all_are_counted() {
        let mut finding = Finding::default();
        (0..1000).for_each(|number| finding.add(1, || format!("order {number}")));

        assert_eq!((finding.count, finding.examples.len()), (1000, EXAMPLES));
    }
}
