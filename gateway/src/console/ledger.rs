//! Follows events through all services: each has written down its own steps.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{Fleet, fleet::query_value};

/// How long a service may take to look something up.
const DEADLINE: Duration = Duration::from_secs(2);

/// How many ids are asked for in one question, which is one line of a request.
const AT_ONCE: usize = 100;

/// Events and their steps in all services, newest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MergedLedger {
    /// Each once, with its steps in the order in which they happened.
    pub events: Vec<Value>,
    /// The services that did not answer.
    pub silent: Vec<String>,
}

/// Finds the events that are about `id`: an event's own id, that of something it is about, or a request's.
///
/// Not every service knows what an event is about: so all are asked a second time, for the events that any found.
pub async fn follow(fleet: &Fleet, id: &str, limit: usize) -> MergedLedger {
    let path = format!("/ledger?about={}&limit={limit}", query_value(id));
    let (first, mut silent) = fleet.lists(&path, "events", DEADLINE).await;
    let mut lists = first;
    let found: BTreeSet<String> =
        lists.iter().flatten().filter_map(|event| event["id"].as_str().map(str::to_owned)).collect();
    let found: Vec<String> = found.iter().map(|id| format!("about={}", query_value(id))).collect();
    for ids in found.chunks(AT_ONCE) {
        let path = format!("/ledger?{}&limit={}", ids.join("&"), ids.len());
        let (more, still) = fleet.lists(&path, "events", DEADLINE).await;
        lists.extend(more);
        silent.extend(still);
    }
    silent.sort();
    silent.dedup();
    MergedLedger { events: merge(lists, limit), silent }
}

/// Makes one entry of all that say something of the same event.
fn merge(lists: Vec<Vec<Value>>, limit: usize) -> Vec<Value> {
    let mut events: Vec<Value> = Vec::new();
    for event in lists.into_iter().flatten() {
        match events.iter_mut().find(|known| known["id"] == event["id"]) {
            Some(known) => add(known, event),
            None => events.push(event),
        }
    }
    for event in &mut events {
        if let Some(steps) = event["steps"].as_array_mut() {
            // Stable: what happened in the same microsecond in one process stays in its order.
            steps.sort_by_cached_key(at);
        }
    }
    events
        .sort_by_cached_key(|event| Reverse(event["steps"].as_array().and_then(|steps| at(steps.first()?))));
    events.truncate(limit);
    events
}

/// Adds to an event what another service, or the same one again, says of it.
fn add(known: &mut Value, other: Value) {
    for key in ["type", "source", "requestId", "traceId"] {
        if known[key].is_null() {
            known[key] = other[key].clone();
        }
    }
    for key in ["about", "steps"] {
        let missing: Vec<Value> = elements(&other[key])
            .iter()
            .filter(|element| !elements(&known[key]).contains(element))
            .cloned()
            .collect();
        match known[key].as_array_mut() {
            Some(all) => all.extend(missing),
            None => known[key] = Value::Array(missing),
        }
    }
}

fn elements(list: &Value) -> &[Value] {
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

fn at(step: &Value) -> Option<Timestamp> {
    step["at"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn step(step: &str, service: &str, at: &str) -> Value {
        json!({ "step": step, "service": service, "at": at })
    }

    #[test]
    fn the_steps_of_one_event_come_together_in_their_order() {
        let orders = json!({ "id": "e1", "type": "order.created", "source": "orders", "about": ["o1", "u1"],
            "requestId": "r1", "traceId": null, "steps": [
                step("committed", "orders", "2026-11-22T22:00:00.000001Z"),
                step("confirmed", "orders", "2026-11-22T22:00:00.000009Z")] });
        let users = json!({ "id": "e1", "type": null, "source": null, "about": ["u1"], "requestId": null,
            "traceId": "t1", "steps": [step("applied", "users", "2026-11-22T22:00:00.000005Z")] });

        let events = merge(vec![vec![users.clone()], vec![orders.clone()], vec![orders, users]], 10);

        assert_eq!(events.len(), 1);
        let event = &events[0];
        let steps: Vec<_> = elements(&event["steps"]).iter().map(|step| step["step"].as_str()).collect();
        assert_eq!(steps, [Some("committed"), Some("applied"), Some("confirmed")]);
        assert_eq!((&event["type"], &event["traceId"]), (&json!("order.created"), &json!("t1")));
        assert_eq!(event["about"], json!(["u1", "o1"]));
    }

    #[test]
    fn the_newest_event_is_first_and_there_are_no_more_than_wanted() {
        let event =
            |id: &str, at: &str| json!({ "id": id, "about": [], "steps": [step("committed", "orders", at)] });

        let events = merge(
            vec![
                vec![event("old", "2026-11-22T22:00:00Z"), event("new", "2026-11-22T22:00:02Z")],
                vec![event("between", "2026-11-22T22:00:01.5Z")],
            ],
            2,
        );

        let ids: Vec<_> = events.iter().map(|event| event["id"].as_str()).collect();
        assert_eq!(ids, [Some("new"), Some("between")]);
    }
}
