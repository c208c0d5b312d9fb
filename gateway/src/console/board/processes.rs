//! What was heard of each process, and what that means.

use std::collections::HashMap;

use jiff::Timestamp;
use serde_json::{Map, Value};

use super::snapshot::{Aside, Process, ProcessState};
use crate::{console::fleet::Heard, upstream::Health};

/// What was known of every process after the last round.
#[derive(Debug, Default)]
pub struct Processes(HashMap<(String, String), Process>);

/// What a process is judged to be like.
type Judgement = (ProcessState, Option<String>);

impl Processes {
    /// Goes on with what was heard of one process, and returns how that is shown.
    pub fn heard(
        &mut self,
        (service, address): (&str, &str),
        heard: Heard,
        health: &Health,
        now: Timestamp,
    ) -> Process {
        let judgement = judge(&heard, health);
        let said = match heard {
            Heard::Said(Value::Object(said)) => Some(said),
            _ => None,
        };
        self.note((service, address), judgement, said, now)
    }

    /// Goes on with a process whose state is known.
    pub fn note(
        &mut self,
        (service, address): (&str, &str),
        (state, reason): Judgement,
        said: Option<Map<String, Value>>,
        now: Timestamp,
    ) -> Process {
        let now = whole_millis(now);
        let key = (service.to_owned(), address.to_owned());
        let process = self.0.entry(key).or_insert_with_key(|(service, address)| Process {
            service: service.clone(),
            address: address.clone(),
            state,
            reason: None,
            since: now,
            heard_at: None,
            counts: Aside(Value::Null),
            report: Map::from_iter([("actors".to_owned(), Value::Array(Vec::new()))]),
        });
        // Brought back between two looks, it may never have been seen away.
        let begun = |report: &Map<String, Value>| report.get("startedAt").cloned();
        let another = said
            .as_ref()
            .is_some_and(|said| begun(&process.report).is_some_and(|before| Some(before) != begun(said)));
        if process.state != state || another {
            (process.state, process.since) = (state, now);
        }
        process.reason = reason;
        if let Some(mut report) = said {
            process.heard_at = Some(now);
            process.counts = Aside(report.remove("counts").unwrap_or(Value::Null));
            // By the name that it has in the settings; and of its incidents there is a page of its own.
            report.remove("service");
            report.remove("timeline");
            report.entry("actors").or_insert_with(|| Value::Array(Vec::new()));
            process.report = report;
        }
        let silent = state == ProcessState::Silent;
        Process { heard_at: process.heard_at.filter(|_| silent), ..process.clone() }
    }

    /// Forgets the processes that are not among `known`, which are no endpoints any more.
    pub fn keep(&mut self, known: impl Fn(&str, &str) -> bool) {
        self.0.retain(|(service, address), _| known(service, address));
    }
}

/// How a process is: what it says of its actors is newer, what the health check heard says more.
fn judge(heard: &Heard, health: &Health) -> Judgement {
    let said = match heard {
        Heard::Silent(why) => return (ProcessState::Silent, Some(why.clone())),
        Heard::Refused(status, _) => {
            let why = format!("answers {status} to GET /actors");
            return match health {
                Health::Unready(reason) => (ProcessState::Unready, Some(reason.clone())),
                Health::Degraded(reason) => (ProcessState::Degraded, Some(format!("{reason}; {why}"))),
                Health::Ready => (ProcessState::Ready, Some(why)),
                Health::Unknown => (ProcessState::Degraded, Some(why)),
            };
        }
        Heard::Said(said) => said,
    };
    if let Health::Unready(reason) = health {
        return (ProcessState::Unready, Some(reason.clone()));
    }
    let actors = said["actors"].as_array().map(Vec::as_slice).unwrap_or_default();
    let resting: Vec<String> = actors
        .iter()
        .filter(|actor| actor["status"] != "running")
        .filter_map(|actor| Some(format!("{} is {}", actor["name"].as_str()?, actor["status"].as_str()?)))
        .collect();
    match health {
        _ if !resting.is_empty() => (ProcessState::Degraded, Some(resting.join(", "))),
        Health::Degraded(reason) => (ProcessState::Degraded, Some(reason.clone())),
        _ => (ProcessState::Ready, None),
    }
}

/// The time to the millisecond, as viewers get every time.
pub fn whole_millis(at: Timestamp) -> Timestamp {
    Timestamp::from_millisecond(at.as_millisecond()).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const PLACE: (&str, &str) = ("users", "127.0.0.1:3001");

    fn running() -> Heard {
        Heard::Said(json!({
            "service": "users",
            "pid": 7,
            "actors": [{ "name": "broker", "status": "running" }],
            "counts": { "requests": 1 },
        }))
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("a time")
    }

    #[test]
    fn a_process_that_falls_silent_keeps_what_was_heard_last_and_says_when() {
        let mut processes = Processes::default();

        let before = processes.heard(PLACE, running(), &Health::Ready, at(1));
        let silent = Heard::Silent("cannot connect".to_owned());
        let first = processes.heard(PLACE, silent.clone(), &Health::Ready, at(2));
        let later = processes.heard(PLACE, silent, &Health::Unready("cannot connect".to_owned()), at(3));
        let back = processes.heard(PLACE, running(), &Health::Ready, at(4));

        assert_eq!((before.state, before.since, before.heard_at), (ProcessState::Ready, at(1), None));
        assert_eq!((first.state, first.since, first.heard_at), (ProcessState::Silent, at(2), Some(at(1))));
        assert_eq!((later.since, later.heard_at), (at(2), Some(at(1))));
        assert_eq!(later.report["pid"], 7);
        assert_eq!((back.state, back.since, back.reason), (ProcessState::Ready, at(4), None));
    }

    #[test]
    fn a_process_that_was_never_heard_is_shown_without_actors() {
        let silent = Heard::Silent("cannot connect".to_owned());

        let process = Processes::default().heard(PLACE, silent, &Health::Unknown, at(1));

        assert_eq!((process.heard_at, &process.report["actors"]), (None, &json!([])));
    }

    #[test]
    fn what_actors_say_is_shown_before_the_health_check_has_heard_it() {
        let restarting = Heard::Said(json!({ "actors": [{ "name": "broker", "status": "restarting" }] }));

        let (state, reason) = judge(&restarting, &Health::Ready);
        assert_eq!((state, reason.as_deref()), (ProcessState::Degraded, Some("broker is restarting")));
        let (state, reason) = judge(&running(), &Health::Unready("answers 503".to_owned()));
        assert_eq!((state, reason.as_deref()), (ProcessState::Unready, Some("answers 503")));
        let (state, _) = judge(&running(), &Health::Degraded("broker: away".to_owned()));
        assert_eq!(state, ProcessState::Degraded);
    }

    #[test]
    fn a_service_of_another_kind_is_as_the_health_check_says() {
        let (state, reason) = judge(&Heard::Refused(404, Value::Null), &Health::Ready);

        assert_eq!((state, reason.as_deref()), (ProcessState::Ready, Some("answers 404 to GET /actors")));
    }

    #[test]
    fn counts_alone_make_no_other_picture() {
        let mut processes = Processes::default();
        let one = processes.heard(PLACE, running(), &Health::Ready, at(1));
        let Heard::Said(mut said) = running() else { unreachable!("it says something") };
        said["counts"]["requests"] = json!(2);

        let other = processes.heard(PLACE, Heard::Said(said), &Health::Ready, at(2));

        assert_eq!(one, other);
        assert_eq!(other.counts.0["requests"], 2);
    }
}
