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

use super::site::Site;
use crate::http::Http;
use crate::load::Ledger;
use crate::load::audit::{Finding, Findings};

/// Of so many orders one asks, the newest: a ledger remembers 100,000 events at least, and an order has at most two.
const ORDERS: usize = 20_000;

/// So many events are asked for in one question, and told in one answer.
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
    pub(super) async fn ask(ledger: &Ledger, site: &Site, moments: u64, patience: Duration) -> Self {
        // Connections of their own, which end with this.
        let users = Http::new(site.system.users.internal.base());
        let orders = Http::new(site.system.orders.internal.base());
        // Their ids grow with time.
        let newest = ledger.placed.keys().rev().take(ORDERS).map(String::as_str).collect::<Vec<_>>();
        let pages = pages(&newest, &ledger.cancelled).into_iter();
        let asked = pages.map(async |page| (page.orders, events(&orders, &users, &page).await));
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

/// Some orders, and how many events they have.
#[derive(Debug, PartialEq, Eq)]
struct Page<'a> {
    orders: &'a [&'a str],
    events: usize,
}

/// As many orders at a time as an answer has room for their events.
fn pages<'a>(orders: &'a [&'a str], cancelled: &BTreeSet<String>) -> Vec<Page<'a>> {
    let events_of = |order: &str| 1 + usize::from(cancelled.contains(order));
    let mut pages = Vec::new();
    let (mut begin, mut events) = (0, 0);
    for (index, order) in orders.iter().enumerate() {
        if events + events_of(order) > PAGE {
            pages.push(Page { orders: &orders[begin..index], events });
            (begin, events) = (index, 0);
        }
        events += events_of(order);
    }
    if events > 0 {
        pages.push(Page { orders: &orders[begin..], events });
    }
    pages
}

/// What both services know of the events of some orders. The one that consumes an event knows it by its id alone.
async fn events(orders: &Http, users: &Http, page: &Page<'_>) -> Result<Vec<Event>, String> {
    let mut events = found(orders, page.orders, page.events).await?;
    let created = events.iter().filter(|event| event.kind.as_deref() == Some(CREATED));
    let ids: Vec<_> = created.map(|event| event.id.as_str()).collect();
    if !ids.is_empty() {
        let consumed = found(users, &ids, ids.len()).await?;
        events.extend(consumed);
    }
    Ok(events)
}

/// Asks a ledger, which stops to look when it has found so many events.
async fn found(service: &Http, about: &[&str], limit: usize) -> Result<Vec<Event>, String> {
    let failed = |why: String| format!("{}/ledger: {why}", service.base());
    let path = format!("/ledger?about={}&limit={limit}", about.join("&about="));
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
    fn a_page_has_as_many_orders_as_an_answer_has_room_for_their_events() {
        let names: Vec<String> = (0..300).map(|number| format!("o{number:03}")).collect();
        let orders: Vec<&str> = names.iter().map(String::as_str).collect();
        let cancelled = names[..150].iter().cloned().collect();

        let pages = pages(&orders, &cancelled);

        let sizes: Vec<_> = pages.iter().map(|page| (page.orders.len(), page.events)).collect();
        assert_eq!(sizes, [(100, 200), (150, 200), (50, 50)]);
        assert_eq!(pages.iter().flat_map(|page| page.orders).copied().collect::<Vec<_>>(), orders);
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
