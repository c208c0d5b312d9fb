//! The events as the broker passed them on, beside those for whom they were meant.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use common::broker::{BrokerConfig, BrokerError, Passed, Tap};
use serde_json::Value;
use tokio::time::sleep;

use crate::load::Ledger;
use crate::load::audit::Findings;

/// The queue that sees them.
pub(super) const QUEUE: &str = "chaos.tap";

/// Nobody's wish: the demo makes it.
const DEMO_USER: &str = "u1";

/// Between two links of the tap.
const PAUSE: Duration = Duration::from_millis(200);

/// A type of events, the ids of what it happened to, and the ids of the events that told of it.
type Told = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// Every event that was ever published.
pub(super) struct Seen {
    tap: Tap,
    told: RefCell<Told>,
    /// Events that have no id.
    nameless: Cell<u64>,
}

impl Seen {
    /// Sees everything that is published from now on.
    pub async fn open(config: BrokerConfig) -> Result<Self, BrokerError> {
        let tap = Tap::new(config, QUEUE);
        tap.open().await?;
        Ok(Self { tap, told: RefCell::default(), nameless: Cell::default() })
    }

    /// Looks, for as long as it is polled, through every outage.
    pub async fn watch(&self) {
        loop {
            // Why it ended is the injector's business.
            let _ = self.tap.read(|passed| self.note(&passed)).await;
            sleep(PAUSE).await;
        }
    }

    fn note(&self, Passed { id, routing_key, body }: &Passed) {
        let body: Value = serde_json::from_slice(body).unwrap_or_default();
        let about = body["id"].as_str().unwrap_or_default().to_owned();
        if id.is_none() {
            self.nameless.set(self.nameless.get() + 1);
        }
        let mut told = self.told.borrow_mut();
        let events = told.entry(routing_key.clone()).or_default().entry(about).or_default();
        events.insert(id.clone().unwrap_or_default());
    }

    /// How many different events were seen.
    pub fn count(&self) -> usize {
        self.told.borrow().values().flat_map(BTreeMap::values).map(BTreeSet::len).sum()
    }

    /// The ids of the events of a type that told of something.
    pub fn events(&self, routing_key: &str, about: &str) -> Vec<String> {
        let told = self.told.borrow();
        told.get(routing_key).and_then(|told| told.get(about)).into_iter().flatten().cloned().collect()
    }

    /// Compares with what clients were told: each accepted wish has one event, and no other has any.
    pub fn compare(&self, ledger: &Ledger, findings: &mut Findings) {
        findings.wrong.add(self.nameless.get(), || "an event has no id".to_owned());
        let told = self.told.borrow();
        let nothing = BTreeMap::new();
        let of = |routing_key: &str| told.get(routing_key).unwrap_or(&nothing);
        let placed = ledger.placed.keys().collect::<BTreeSet<_>>();
        let cancelled = ledger.cancelled.iter().collect();
        let users = ledger.users.keys().collect();
        for (routing_key, accepted) in
            [("order.created", &placed), ("order.cancelled", &cancelled), ("user.created", &users)]
        {
            let events = of(routing_key);
            for &about in accepted.iter().filter(|about| !events.contains_key(about.as_str())) {
                findings.lost.add(1, || format!("{routing_key} of {about} was never published"));
            }
            for (about, ids) in events {
                let more = ids.len() as u64 - 1;
                findings.doubled.add(more, || format!("{routing_key} of {about} was published as {ids:?}"));
                let is_the_demos = routing_key == "user.created" && about == DEMO_USER;
                if !accepted.contains(about) && !is_the_demos {
                    findings
                        .wrong
                        .add(1, || format!("{routing_key} of {about} was published, and nobody was told so"));
                }
            }
        }
    }

    /// Whether there is an event for each accepted wish.
    pub fn has_all_of(&self, ledger: &Ledger) -> bool {
        let mut findings = Findings::default();
        self.compare(ledger, &mut findings);
        findings.lost.count == 0
    }
}

#[cfg(test)]
impl Seen {
    /// As if the broker had passed on these events: their ids, routing keys and what they are about.
    pub fn of(events: &[(&str, &str, &str)]) -> Self {
        let config = BrokerConfig::for_url("amqp://localhost").expect("a URL");
        let seen = Self { tap: Tap::new(config, QUEUE), told: RefCell::default(), nameless: Cell::default() };
        for (id, routing_key, about) in events {
            let body = format!(r#"{{"id":"{about}"}}"#).into_bytes().into();
            seen.note(&Passed { id: Some((*id).into()), routing_key: (*routing_key).into(), body });
        }
        seen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger() -> Ledger {
        let mut ledger = Ledger::default();
        ledger.users = [("u".to_owned(), "Ada".to_owned())].into();
        ledger.placed = [("1".to_owned(), "u".to_owned()), ("2".to_owned(), "u".to_owned())].into();
        ledger.cancelled = ["2".to_owned()].into();
        ledger
    }

    const ALL: [(&str, &str, &str); 4] = [
        ("a", "user.created", "u"),
        ("b", "order.created", "1"),
        ("c", "order.created", "2"),
        ("d", "order.cancelled", "2"),
    ];

    fn compare(events: &[(&str, &str, &str)]) -> Findings {
        let mut findings = Findings::default();
        Seen::of(events).compare(&ledger(), &mut findings);
        findings
    }

    #[test]
    fn one_event_for_each_wish_is_right_however_often_it_comes() {
        assert!(compare(&ALL).is_empty());
        assert!(compare(&[ALL, ALL].concat()).is_empty());
        assert!(compare(&[&ALL[..], &[("e", "user.created", "u1")]].concat()).is_empty());
    }

    #[test]
    fn an_event_that_is_missing_is_lost() {
        for missing in 0..ALL.len() {
            let mut events = ALL.to_vec();
            events.remove(missing);
            let findings = compare(&events);
            assert_eq!((findings.lost.count, findings.doubled.count), (1, 0), "{findings:?}");
        }
    }

    #[test]
    fn a_second_event_of_the_same_is_doubled_and_one_of_nothing_is_wrong() {
        let findings = compare(&[&ALL[..], &[("e", "order.created", "1")]].concat());
        assert_eq!((findings.doubled.count, findings.wrong.count), (1, 0), "{findings:?}");
        for of_nothing in
            [("e", "order.created", "3"), ("e", "user.created", "v"), ("e", "order.created", "u1")]
        {
            let findings = compare(&[&ALL[..], &[of_nothing]].concat());
            assert_eq!((findings.doubled.count, findings.wrong.count), (0, 1), "{findings:?}");
        }
    }

    #[test]
    fn an_event_without_an_id_is_wrong() {
        let seen = Seen::of(&ALL[1..]);
        let body = r#"{"id":"u"}"#.into();
        seen.note(&Passed { id: None, routing_key: "user.created".into(), body });
        let mut findings = Findings::default();
        seen.compare(&ledger(), &mut findings);

        assert_eq!((findings.lost.count, findings.wrong.count), (0, 1), "{findings:?}");
    }
}
