//! Whether every accepted order's event is in the services' ledgers, on its whole way from commit to effect.
//!
//! A ledger is written a moment after what it tells of, so that writing it holds nobody up. Whoever kills a process, or
//! fills its disk, takes the steps of that moment, of events that are all right otherwise: such gaps are counted, and
//! believed up to a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::fault::KEEPERS;
use super::seen::Seen;
use super::site::Site;
use crate::http::Http;
use crate::load::Ledger;
use crate::load::audit::{Finding, Findings};

/// Of so many orders one asks, the newest: a ledger remembers 100,000 events at least, and an order has at most two.
const ORDERS: usize = 20_000;

/// The events of so many orders are asked for in one question, and told in one answer.
const PAGE: usize = 200;

/// A service looks for one thing after the other, so that each has one to look for.
const AT_A_TIME: usize = 2;

/// How long one question may take: a ledger is made for people who look for one event.
const ANSWER: Duration = Duration::from_secs(60);

/// A kill, or a full disk, takes the steps of so many events at most. A step is on disk a few milliseconds after it was
/// taken, on a busy machine some tens, in which a service that catches up takes a hundred or two; and where nothing can be
/// written, a consumer holds the two hundred that it has fetched until something can.
const A_MOMENT: u64 = 250;

/// The event whose way is looked at.
const CREATED: &str = "order.created";

/// What happens to it, in this order.
const STEPS: [&str; 5] = ["committed", "published", "confirmed", "delivered", "applied"];

/// What the ledgers tell.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ways {
    /// The events of so many orders were looked for.
    pub orders: usize,
    /// So many gaps are explained by kills and full disks.
    pub explained: u64,
    /// Events with steps that nobody wrote down.
    pub gaps: Finding,
    /// Events that one queue applied more than once.
    #[serde(skip)]
    doubled: Finding,
    /// Questions without an answer.
    #[serde(skip)]
    unanswered: Finding,
}

/// An event, as a ledger knows it.
#[derive(Clone, Debug, Deserialize)]
struct Event {
    id: String,
    #[serde(rename = "type")]
    kind: Option<String>,
    about: Option<Vec<String>>,
    steps: BTreeSet<Step>,
}

/// What happened to it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
struct Step {
    at: String,
    step: String,
    service: String,
    pid: Option<u32>,
    queue: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    events: Vec<Event>,
}

impl Ways {
    /// Asks both services for the accepted orders, after so many kills and full disks; content with what is read when
    /// `patience` is over.
    pub(super) async fn ask(
        ledger: &Ledger,
        seen: &Seen,
        site: &Site,
        moments: u64,
        patience: Duration,
    ) -> Self {
        // Connections of their own, which end with this.
        let services = KEEPERS.map(|service| Http::new(site.system.child(service).internal.base()));
        // Their ids grow with time.
        let newest = ledger.placed.keys().rev().take(ORDERS).map(String::as_str).collect::<Vec<_>>();
        let asked = newest.chunks(PAGE).map(async |orders| {
            let ids: Vec<_> = orders.iter().flat_map(|order| seen.events(CREATED, order)).collect();
            (orders, events(&services, &ids).await)
        });
        let mut answers = stream::iter(asked).buffer_unordered(AT_A_TIME);

        let mut ways = Self { explained: moments * A_MOMENT, ..Self::default() };
        let all = async {
            while let Some((orders, answer)) = answers.next().await {
                match answer {
                    Ok(events) => ways.judge(orders, events),
                    Err(why) => ways.unanswered.add(1, || why),
                }
            }
        };
        if timeout(patience, all).await.is_err() && ways.orders == 0 {
            ways.unanswered.add(1, || format!("the ledgers have told nothing within {patience:?}"));
        }
        ways
    }

    /// Looks at the events of some orders, as told by all services.
    fn judge(&mut self, orders: &[&str], told: Vec<Event>) {
        let mut of_orders: BTreeMap<&str, Vec<Event>> = BTreeMap::new();
        for event in merged(told).into_values().filter(|event| event.kind.as_deref() == Some(CREATED)) {
            let about = event.about.as_deref().unwrap_or_default();
            if let Some(order) = orders.iter().find(|order| about.iter().any(|id| id == *order)) {
                of_orders.entry(order).or_default().push(event);
            }
        }
        self.orders += orders.len();
        for &order in orders {
            let Some(events) = of_orders.get(order) else {
                self.gaps.add(1, || format!("{CREATED} of {order}: nobody knows it"));
                continue;
            };
            for event in events {
                let missing = missing(event);
                if !missing.is_empty() {
                    self.gaps
                        .add(1, || format!("{CREATED} {} of {order}: not {}", event.id, missing.join(", ")));
                }
                self.doubled
                    .add(doubled(event), || format!("{CREATED} {} of {order} was applied again", event.id));
            }
        }
    }

    /// Takes what was found into account.
    pub(super) fn compare(&self, findings: &mut Findings) {
        let Self { gaps, explained, .. } = self;
        findings.doubled.take(&self.doubled);
        findings.wrong.take(&self.unanswered);
        if gaps.count > *explained {
            findings.wrong.add(1, || {
                format!("{} events have gaps in the ledgers; kills explain {explained}", gaps.count)
            });
            findings.wrong.take(&Finding { count: 0, examples: self.gaps.examples.clone() });
        }
    }
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { orders, explained, gaps, .. } = self;
        write!(
            f,
            "{} among the events of {orders} orders; kills and full disks explain {explained}",
            gaps.count
        )
    }
}

/// What both services know of these events.
async fn events(services: &[Http; 2], ids: &[String]) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    for service in services {
        events.extend(found(service, ids).await?);
    }
    Ok(events)
}

/// Asks a ledger, which finds events by their ids in one pass. Of an event that it consumes it knows nothing else.
async fn found(service: &Http, ids: &[String]) -> Result<Vec<Event>, String> {
    let failed = |why: String| format!("{}/ledger: {why}", service.base());
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let path = format!("/ledger?event={}&limit={}", ids.join("&event="), ids.len());
    let answer =
        service.get(&path).deadline(ANSWER).send().await.map_err(|error| failed(error.to_string()))?;
    if !answer.status.is_success() {
        return Err(failed(answer.to_string()));
    }
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|error| failed(error.to_string()))?;
    Ok(answer.events)
}

/// What several services know of an event is one event.
fn merged(told: Vec<Event>) -> BTreeMap<String, Event> {
    let mut events: BTreeMap<String, Event> = BTreeMap::new();
    for event in told {
        match events.get_mut(&event.id) {
            Some(known) => {
                known.kind = known.kind.take().or(event.kind);
                known.about.get_or_insert_default().extend(event.about.unwrap_or_default());
                known.steps.extend(event.steps);
            }
            None => drop(events.insert(event.id.clone(), event)),
        }
    }
    events
}

/// The steps that nobody wrote down. Whoever has seen an event before has applied it.
fn missing(event: &Event) -> Vec<&'static str> {
    let has = |step: &str| event.steps.iter().any(|it| it.step == step);
    let is_told = |step: &str| has(step) || (step == "applied" && has("seenBefore"));
    STEPS.into_iter().filter(|step| !is_told(step)).collect()
}

/// How often a queue applied it that had already.
fn doubled(event: &Event) -> u64 {
    let applied: Vec<_> = event.steps.iter().filter(|it| it.step == "applied").collect();
    let queues: BTreeSet<_> = applied.iter().map(|it| (&it.service, &it.queue)).collect();
    (applied.len() - queues.len()) as u64
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn step(name: &str, service: &str) -> Value {
        json!({"step": name, "at": "2026-11-22T13:00:00.000001Z", "service": service, "pid": 1, "actor": null,
            "generation": 3, "queue": (service == "users").then_some("users.order-created"), "attempt": null,
            "redelivered": null, "reason": null})
    }

    /// An event as a service tells it.
    fn event(id: &str, order: &str, service: &str, steps: &[&str]) -> Event {
        let steps: Vec<Value> = steps.iter().map(|name| step(name, service)).collect();
        let event = json!({"id": id, "type": CREATED, "source": "orders", "about": [order, "u1"], "requestId": null,
            "traceId": null, "steps": steps});
        serde_json::from_value(event).expect("an event of the ledger")
    }

    fn judged(orders: &[&str], told: Vec<Event>) -> Ways {
        let mut ways = Ways::default();
        ways.judge(orders, told);
        ways
    }

    fn whole(order: &str) -> Vec<Event> {
        let sent = event("e1", order, "orders", &["accepted", "committed", "published", "confirmed"]);
        vec![sent, event("e1", order, "users", &["delivered", "applied", "acked"])]
    }

    #[test]
    fn an_event_that_both_services_know_has_no_gap() {
        let ways = judged(&["o1"], whole("o1"));

        assert_eq!((ways.orders, ways.gaps.count, ways.doubled.count), (1, 0, 0), "{ways:?}");
    }

    #[test]
    fn each_step_that_nobody_wrote_down_is_named() {
        let told = vec![
            event("e1", "o1", "orders", &["committed", "published"]),
            event("e1", "o1", "users", &["delivered"]),
        ];

        let ways = judged(&["o1"], told);

        assert_eq!(ways.gaps.examples, ["order.created e1 of o1: not confirmed, applied"]);
    }

    #[test]
    fn an_order_that_nobody_knows_is_a_gap_and_other_events_are_none_of_its() {
        let mut cancelled = event("e2", "o1", "orders", &["committed", "published", "confirmed"]);
        cancelled.kind = Some("order.cancelled".into());

        let ways = judged(&["o1"], vec![cancelled]);

        assert_eq!(ways.gaps.examples, ["order.created of o1: nobody knows it"]);
        assert_eq!(judged(&["o2"], whole("o1")).gaps.count, 1);
    }

    #[test]
    fn what_was_seen_before_was_applied() {
        let mut told = whole("o1");
        told[1] = event("e1", "o1", "users", &["delivered", "seenBefore"]);

        assert_eq!(judged(&["o1"], told).gaps.count, 0);
    }

    #[test]
    fn an_event_whose_type_only_one_service_knows_is_still_one() {
        let mut told = whole("o1");
        (told[1].kind, told[1].about) = (None, None);

        assert_eq!(judged(&["o1"], told).gaps.count, 0);
    }

    #[test]
    fn what_one_queue_applied_twice_is_doubled_and_what_is_told_twice_is_not() {
        let mut told = whole("o1");
        told.extend(whole("o1"));
        assert_eq!(judged(&["o1"], told.clone()).doubled.count, 0);

        let mut again = event("e1", "o1", "users", &["applied"]);
        again.steps = again.steps.into_iter().map(|step| Step { at: "later".into(), ..step }).collect();
        told.push(again);

        let ways = judged(&["o1"], told);
        let mut findings = Findings::default();
        ways.compare(&mut findings);
        assert_eq!(findings.doubled.count, 1, "{findings:?}");
    }

    #[test]
    fn gaps_that_kills_explain_are_believed_and_more_are_not() {
        let found = |explained| {
            let mut findings = Findings::default();
            let ways = judged(&["o1", "o2"], Vec::new());
            Ways { explained, ..ways }.compare(&mut findings);
            findings
        };

        assert!(found(2).is_empty());
        let too_many = found(1);
        assert_eq!(too_many.wrong.count, 1);
        assert!(too_many.wrong.examples.iter().any(|example| example.contains("o1")), "{too_many:?}");
    }
}
