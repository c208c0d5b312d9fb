//! Puts together what every service has written down of its incidents.

use std::{cmp::Reverse, time::Duration};

use common::timeline::Timeline;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::Fleet;

/// How long a service may take to read its timeline.
const DEADLINE: Duration = Duration::from_secs(2);

/// How many incidents of each service are looked through where not every one is wanted.
const LOOKED_THROUGH: usize = 1000;

/// Which incidents are wanted.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// How many at most.
    pub limit: usize,
    /// Of this service alone.
    pub service: Option<String>,
    /// Of this kind alone.
    pub kind: Option<String>,
    /// With this text in what they are about, or why, whatever its case.
    pub text: Option<String>,
}

/// The incidents of all services, newest first.
#[derive(Clone, Debug, Default, Serialize)]
pub struct MergedTimeline {
    /// Each as its service tells it.
    pub items: Vec<Value>,
    /// The services that did not answer.
    pub silent: Vec<String>,
}

/// Asks every service, and adds what the gateway has written down itself.
pub async fn merged(fleet: &Fleet, own: &Timeline, wanted: &Wanted) -> MergedTimeline {
    let each = if wanted.is_picky() { LOOKED_THROUGH } else { wanted.limit };
    let (mut lists, silent) = fleet.lists(&format!("/timeline?limit={each}"), "items", DEADLINE).await;
    let own = own.page(each, None);
    lists.push(own.iter().filter_map(|incident| serde_json::to_value(incident).ok()).collect());
    MergedTimeline { items: merge(lists, wanted), silent }
}

fn merge(lists: Vec<Vec<Value>>, wanted: &Wanted) -> Vec<Value> {
    let mut all: Vec<_> = lists.into_iter().flatten().filter(|incident| wanted.takes(incident)).collect();
    all.sort_by_cached_key(|incident| Reverse(at(incident)));
    all.truncate(wanted.limit);
    all
}

impl Wanted {
    fn is_picky(&self) -> bool {
        self.service.is_some() || self.kind.is_some() || self.text.is_some()
    }

    fn takes(&self, incident: &Value) -> bool {
        let is = |key: &str, wanted: &Option<String>| {
            wanted.as_ref().is_none_or(|wanted| incident[key].as_str() == Some(wanted))
        };
        let text = self.text.as_ref().map(|text| text.to_lowercase());
        let said = ["subject", "cause", "kind", "service"].iter().filter_map(|key| incident[*key].as_str());
        let mut said = said.map(str::to_lowercase);
        is("service", &self.service)
            && is("kind", &self.kind)
            && text.is_none_or(|text| said.any(|said| said.contains(&text)))
    }
}

/// When it began; as a time, since texts of different precision do not sort.
fn at(incident: &Value) -> Option<Timestamp> {
    incident["at"].as_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn incident(service: &str, kind: &str, subject: &str, at: &str) -> Value {
        json!({ "service": service, "kind": kind, "subject": subject, "cause": "connection reset", "at": at })
    }

    fn lists() -> Vec<Vec<Value>> {
        vec![
            vec![
                incident("orders", "link", "broker", "2026-11-22T22:00:03.5Z"),
                incident("orders", "actor", "relay", "2026-11-22T22:00:01Z"),
            ],
            vec![incident("users", "link", "broker", "2026-11-22T22:00:03.499Z")],
            vec![incident("gateway", "breaker", "users http://127.0.0.1:3001", "2026-11-22T22:00:02Z")],
        ]
    }

    fn subjects(wanted: Wanted) -> Vec<String> {
        let all = merge(lists(), &wanted);
        all.iter()
            .map(|incident| format!("{} {}", incident["service"], incident["kind"]).replace('"', ""))
            .collect()
    }

    #[test]
    fn the_newest_is_first_whichever_service_it_is_of() {
        let all = subjects(Wanted { limit: 3, ..Wanted::default() });

        assert_eq!(all, ["orders link", "users link", "gateway breaker"]);
    }

    #[test]
    fn only_what_is_wanted_is_shown() {
        let wanted = |service: &str, kind: &str, text: &str| {
            let given = |raw: &str| Some(raw.to_owned()).filter(|raw| !raw.is_empty());
            subjects(Wanted { limit: 10, service: given(service), kind: given(kind), text: given(text) })
        };

        assert_eq!(wanted("users", "", ""), ["users link"]);
        assert_eq!(wanted("", "link", ""), ["orders link", "users link"]);
        assert_eq!(wanted("", "", "RELAY"), ["orders actor"]);
        assert_eq!(wanted("", "link", "127.0.0.1"), [""; 0]);
    }
}
