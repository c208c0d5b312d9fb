//! Whether every accepted wish's event is in the services' ledgers, on its whole way: from the request that caused it to the
//! acknowledgement after its effect.
//!
//! A ledger is written a moment after what it tells of, so that writing it holds nobody up. Whoever kills a process, or
//! fills its disk, takes the steps of that moment, of events that are all right otherwise: such gaps are counted, and
//! believed up to a bound.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::time::timeout;
use uuid::Uuid;

use super::fault::KEEPERS;
use super::seen::Seen;
use super::site::Site;
use crate::http::Http;
use crate::load::Ledger;
use crate::load::audit::{Finding, Findings};
use crate::service::Service;

/// Of so many events one asks, the newest: so many a ledger remembers at least.
const EVENTS: usize = 100_000;

/// So many events are asked for in one question: more are refused.
const PAGE: usize = 300;

/// An answer with so many steps may not have all.
const MOST_STEPS: usize = 2_000;

/// A service looks for one thing after the other, so that each has one to look for.
const AT_A_TIME: usize = 2;

/// How long one question may take: a ledger is made for people who look for one event.
const ANSWER: Duration = Duration::from_secs(60);

/// What happens to every event, in this order.
const STEPS: [&str; 7] = ["accepted", "committed", "published", "confirmed", "delivered", "applied", "acked"];

/// A kill takes the steps of so many events at most, on average: those of the last milliseconds. Measured were 1 on average
/// and 7 of one.
const OF_A_KILL: u64 = 25;

/// A full disk takes those of so many: of what was committed when it became full, and is confirmed while it is. Measured were
/// 40, on a busy machine.
const OF_A_FULL_DISK: u64 = 100;

/// One of them may strike a service that catches up, and takes the acknowledgements of all that it had fetched from a queue.
const CATCHING_UP: u64 = 200;

/// A full disk of users takes the deliveries of so many more: while nothing can be written, it holds what it has fetched from
/// its two queues, and applies it when there is room again. Measured were 245. Orders has one queue.
const FETCHED: u64 = 400;

/// When a service lost what it was about to write down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Moment {
    /// Which one.
    pub service: Service,
    /// Whether its disk was full; otherwise it was killed.
    pub is_full_disk: bool,
    /// All was well again by then.
    pub over: Timestamp,
}

/// What the ledgers tell.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ways {
    /// So many events were looked for.
    pub events: usize,
    /// Events with steps that nobody wrote down.
    pub gaps: Gaps,
    /// Events of which nobody wrote down that they were delivered, and everything else.
    pub deliveries: Gaps,
    /// How often each step was missing.
    pub missing: BTreeMap<&'static str, u64>,
    /// Events that one queue applied more than once.
    #[serde(skip)]
    doubled: Finding,
    /// Questions without an answer.
    #[serde(skip)]
    unanswered: Finding,
}

/// What nobody wrote down.
#[derive(Debug, Default, Serialize)]
pub struct Gaps {
    /// All of it.
    pub found: Finding,
    /// So much is explained by kills and full disks.
    pub explained: u64,
}

/// An event that somebody's accepted wish has caused.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Caused {
    /// Grows with time.
    id: String,
    kind: &'static str,
    about: String,
}

/// An event, as a ledger knows it.
#[derive(Clone, Debug, Deserialize)]
struct Event {
    id: String,
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
    /// Asks both services for the events of what was accepted, after these moments; content with what is read when
    /// `patience` is over.
    pub(super) async fn ask(
        ledger: &Ledger,
        seen: &Seen,
        site: &Site,
        moments: &[Moment],
        patience: Duration,
    ) -> Self {
        // Connections of their own, which end with this.
        let services = KEEPERS.map(|service| Http::new(site.system.child(service).internal.base()));
        let newest = newest(ledger, seen);
        let since = newest.last().and_then(|oldest| time_of(&oldest.id));
        let asked = newest.chunks(PAGE).map(async |caused| (caused, events(&services, caused).await));
        let mut answers = stream::iter(asked).buffer_unordered(AT_A_TIME);

        let mut ways = Self::after(moments, since);
        let all = async {
            while let Some((caused, answer)) = answers.next().await {
                match answer {
                    Ok(events) => ways.judge(caused, events),
                    Err(why) => ways.unanswered.add(1, || why),
                }
            }
        };
        if timeout(patience, all).await.is_err() && ways.events == 0 {
            ways.unanswered.add(1, || format!("the ledgers have told nothing within {patience:?}"));
        }
        ways
    }

    /// Knows what these moments explain among events that were made since then.
    fn after(moments: &[Moment], since: Option<Timestamp>) -> Self {
        let mut ways = Self::default();
        for moment in moments.iter().filter(|moment| since.is_none_or(|since| moment.over >= since)) {
            let (gaps, deliveries) = match (moment.is_full_disk, moment.service) {
                (true, Service::Users) => (OF_A_FULL_DISK, FETCHED),
                (true, _) => (OF_A_FULL_DISK, FETCHED / 2),
                (false, _) => (OF_A_KILL, 0),
            };
            ways.gaps.explained = ways.gaps.explained.max(CATCHING_UP) + gaps;
            ways.deliveries.explained += deliveries;
        }
        ways
    }

    /// Looks at some events, as told by all services.
    fn judge(&mut self, caused: &[Caused], told: Vec<Event>) {
        let told = merged(told);
        self.events += caused.len();
        for Caused { id, kind, about } in caused {
            let Some(event) = told.get(id.as_str()) else {
                self.gaps.found.add(1, || format!("{kind} {id} of {about}: nobody knows it"));
                continue;
            };
            let missing = missing(event);
            let gaps = match missing[..] {
                ["delivered"] => &mut self.deliveries,
                _ => &mut self.gaps,
            };
            let count = u64::from(!missing.is_empty());
            gaps.found.add(count, || format!("{kind} {id} of {about}: not {}", missing.join(", ")));
            missing.into_iter().for_each(|step| *self.missing.entry(step).or_default() += 1);
            self.doubled.add(doubled(event), || format!("{kind} {id} of {about} was applied again"));
        }
    }

    /// Takes what was found into account.
    pub(super) fn compare(&self, findings: &mut Findings) {
        findings.doubled.take(&self.doubled);
        findings.wrong.take(&self.unanswered);
        for Gaps { found, explained } in [&self.gaps, &self.deliveries] {
            if found.count > *explained {
                findings.wrong.add(1, || {
                    format!(
                        "{} events have gaps in the ledgers; kills and full disks explain {explained}",
                        found.count
                    )
                });
                findings.wrong.take(&Finding { count: 0, examples: found.examples.clone() });
            }
        }
    }
}

impl fmt::Display for Ways {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { events, gaps, deliveries, .. } = self;
        write!(
            f,
            "{gaps} and {deliveries} deliveries, among {events} events, of what kills and full disks explain"
        )
    }
}

impl fmt::Display for Gaps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.found.count, self.explained)
    }
}

/// The events of what was accepted, as the broker passed them on; the newest first. What it never did is found elsewhere.
fn newest(ledger: &Ledger, seen: &Seen) -> Vec<Caused> {
    let caused = |kind: &'static str, about: &String| {
        let about = about.clone();
        let ids = seen.events(kind, &about).into_iter();
        ids.map(move |id| Caused { id, kind, about: about.clone() })
    };
    let users = ledger.users.keys().flat_map(|user| caused("user.created", user));
    let placed = ledger.placed.keys().flat_map(|order| caused("order.created", order));
    let cancelled = ledger.cancelled.iter().flat_map(|order| caused("order.cancelled", order));
    let mut all: Vec<Caused> = users.chain(placed).chain(cancelled).collect();
    all.sort_unstable_by(|one, other| other.cmp(one));
    all.truncate(EVENTS);
    all
}

/// When an event was made, as its id says.
fn time_of(id: &str) -> Option<Timestamp> {
    let (seconds, nanoseconds) = Uuid::parse_str(id).ok()?.get_timestamp()?.to_unix();
    Timestamp::new(seconds.try_into().ok()?, nanoseconds.try_into().ok()?).ok()
}

/// What both services know of these events.
async fn events(services: &[Http; 2], caused: &[Caused]) -> Result<Vec<Event>, String> {
    let mut events = Vec::new();
    for service in services {
        let mut left = vec![caused];
        while let Some(asked) = left.pop() {
            let told = found(service, asked).await?;
            let steps: usize = told.iter().map(|event| event.steps.len()).sum();
            match asked.len() {
                count if count > 1 && steps >= MOST_STEPS => {
                    let (newer, older) = asked.split_at(count / 2);
                    left.extend([newer, older]);
                }
                _ => events.extend(told),
            }
        }
    }
    Ok(events)
}

/// Asks a ledger, which finds events by their ids in one pass. Of an event that it consumes it knows nothing else.
async fn found(service: &Http, asked: &[Caused]) -> Result<Vec<Event>, String> {
    let failed = |why: String| format!("{}/ledger: {why}", service.base());
    let ids: Vec<&str> = asked.iter().map(|caused| caused.id.as_str()).collect();
    let path = format!("/ledger?event={}", ids.join("&event="));
    let answer =
        service.get(&path).deadline(ANSWER).send().await.map_err(|error| failed(error.to_string()))?;
    if !answer.status.is_success() {
        return Err(failed(answer.to_string()));
    }
    let answer: Answer = serde_json::from_slice(&answer.body).map_err(|error| failed(error.to_string()))?;
    Ok(answer.events)
}

/// What several services know of an event is one event.
fn merged(told: Vec<Event>) -> BTreeMap<String, BTreeSet<Step>> {
    let mut events: BTreeMap<String, BTreeSet<Step>> = BTreeMap::new();
    for event in told {
        events.entry(event.id).or_default().extend(event.steps);
    }
    events
}

/// The steps that nobody wrote down. Whoever has seen an event before has applied it.
fn missing(steps: &BTreeSet<Step>) -> Vec<&'static str> {
    let has = |step: &str| steps.iter().any(|it| it.step == step);
    let is_told = |step: &str| has(step) || (step == "applied" && has("seenBefore"));
    STEPS.into_iter().filter(|step| !is_told(step)).collect()
}

/// How often a queue applied it that had already.
fn doubled(steps: &BTreeSet<Step>) -> u64 {
    let applied: Vec<_> = steps.iter().filter(|it| it.step == "applied").collect();
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
    fn event(id: &str, service: &str, steps: &[&str]) -> Event {
        let steps: Vec<Value> = steps.iter().map(|name| step(name, service)).collect();
        let event = json!({"id": id, "type": "order.created", "source": "orders", "about": ["o1", "u1"],
            "requestId": null, "traceId": null, "steps": steps});
        serde_json::from_value(event).expect("an event of the ledger")
    }

    fn caused(ids: &[&str]) -> Vec<Caused> {
        let caused = |id: &&str| Caused { id: (*id).into(), kind: "order.created", about: "o1".into() };
        ids.iter().map(caused).collect()
    }

    fn judged(ids: &[&str], told: Vec<Event>) -> Ways {
        let mut ways = Ways::default();
        ways.judge(&caused(ids), told);
        ways
    }

    fn whole(id: &str) -> Vec<Event> {
        let sent = event(id, "orders", &["accepted", "committed", "published", "confirmed"]);
        vec![sent, event(id, "users", &["delivered", "applied", "acked"])]
    }

    #[test]
    fn an_event_that_both_services_know_has_no_gap() {
        let ways = judged(&["e1"], whole("e1"));

        assert_eq!((ways.events, ways.gaps.found.count, ways.doubled.count), (1, 0, 0), "{ways:?}");
    }

    #[test]
    fn each_step_that_nobody_wrote_down_is_named() {
        let told =
            vec![event("e1", "orders", &["committed", "published"]), event("e1", "users", &["delivered"])];

        let ways = judged(&["e1"], told);

        assert_eq!(
            ways.gaps.found.examples,
            ["order.created e1 of o1: not accepted, confirmed, applied, acked"]
        );
        assert_eq!((ways.gaps.found.count, ways.missing.len()), (1, 4));
    }

    #[test]
    fn an_event_that_nobody_knows_is_a_gap_and_another_one_does_not_fill_it() {
        let ways = judged(&["e2"], whole("e1"));

        assert_eq!(ways.gaps.found.examples, ["order.created e2 of o1: nobody knows it"]);
    }

    #[test]
    fn a_delivery_alone_that_nobody_wrote_down_is_a_gap_of_its_own() {
        let mut told = whole("e1");
        told[1] = event("e1", "users", &["applied", "acked"]);

        let mut ways = judged(&["e1"], told);
        let mut findings = Findings::default();
        ways.compare(&mut findings);
        assert_eq!((ways.gaps.found.count, ways.deliveries.found.count), (0, 1));
        assert_eq!(findings.wrong.count, 1);

        ways.deliveries.explained = 1;
        let mut findings = Findings::default();
        ways.compare(&mut findings);
        assert!(findings.is_empty(), "{findings:?}");
    }

    #[test]
    fn what_was_seen_before_was_applied() {
        let mut told = whole("e1");
        told[1] = event("e1", "users", &["delivered", "seenBefore", "acked"]);

        assert_eq!(judged(&["e1"], told).gaps.found.count, 0);
    }

    #[test]
    fn what_one_queue_applied_twice_is_doubled_and_what_is_told_twice_is_not() {
        let mut told = whole("e1");
        told.extend(whole("e1"));
        assert_eq!(judged(&["e1"], told.clone()).doubled.count, 0);

        let mut again = event("e1", "users", &["applied"]);
        again.steps = again.steps.into_iter().map(|step| Step { at: "later".into(), ..step }).collect();
        told.push(again);

        let ways = judged(&["e1"], told);
        let mut findings = Findings::default();
        ways.compare(&mut findings);
        assert_eq!(findings.doubled.count, 1, "{findings:?}");
    }

    #[test]
    fn gaps_that_kills_explain_are_believed_and_more_are_not() {
        let found = |explained| {
            let mut findings = Findings::default();
            let mut ways = judged(&["e1", "e2"], Vec::new());
            ways.gaps.explained = explained;
            ways.compare(&mut findings);
            findings
        };

        assert!(found(2).is_empty());
        let too_many = found(1);
        assert_eq!(too_many.wrong.count, 1);
        assert!(too_many.wrong.examples.iter().any(|example| example.contains("e1")), "{too_many:?}");
    }

    #[test]
    fn only_what_was_lost_since_the_oldest_event_explains_its_gaps() {
        let oldest = "2026-11-22T13:00:00Z".parse::<Timestamp>().expect("a time");
        let moment = |is_full_disk, seconds| Moment {
            service: Service::Users,
            is_full_disk,
            over: oldest + jiff::SignedDuration::from_secs(seconds),
        };
        let moments = [moment(true, -1), moment(false, 0), moment(false, 1)];
        let explained = |since| {
            let Ways { gaps, deliveries, .. } = Ways::after(&moments, since);
            (gaps.explained, deliveries.explained)
        };

        assert_eq!(explained(Some(oldest)), (CATCHING_UP + 2 * OF_A_KILL, 0));
        assert_eq!(Ways::after(&[], None).gaps.explained, 0);
        assert_eq!(explained(None), (CATCHING_UP + 2 * OF_A_KILL + OF_A_FULL_DISK, FETCHED));
    }

    #[test]
    fn the_id_of_an_event_says_when_it_was_made() {
        let now = Timestamp::now();
        let made = time_of(&Uuid::now_v7().to_string()).expect("it says so");

        assert!(now.duration_since(made).abs() < jiff::SignedDuration::from_secs(60), "{made}");
        assert_eq!(time_of("e1"), None);
    }

    #[test]
    fn the_newest_events_of_all_that_was_accepted_come_first() {
        let passed = [
            ("1", "user.created", "u"),
            ("2", "order.created", "o"),
            ("3", "order.cancelled", "o"),
            ("4", "order.created", "nobody's"),
        ];
        let seen = Seen::of(&passed);
        let mut ledger = Ledger::default();
        ledger.users = [("u".to_owned(), "Ada".to_owned())].into();
        ledger.placed = [("o".to_owned(), "u".to_owned())].into();
        ledger.cancelled = ["o".to_owned()].into();

        let newest = newest(&ledger, &seen);

        let kinds: Vec<_> = newest.iter().map(|caused| (caused.id.as_str(), caused.kind)).collect();
        assert_eq!(kinds, [("3", "order.cancelled"), ("2", "order.created"), ("1", "user.created")]);
    }
}
