//! Who talks to whom: the gateway to the services, as far as it knows itself; the services to each other and to the broker, as
//! far as they say so.

mod of_gateway;
mod questions;
mod to_broker;

use std::time::Instant;

use serde_json::Value;

use super::{
    rates::Rates,
    snapshot::{Link, LinkState, Process, Service},
};

pub use of_gateway::of_gateway;
pub use to_broker::broker;

/// The links of the services: among each other, and with the broker.
pub fn of_services(services: &[Service], rates: &mut Rates, now: Instant) -> Vec<Link> {
    let mut links = Vec::new();
    for service in services {
        links.extend(questions::of(service, services, rates, now));
        links.extend(to_broker::of(service, rates, now));
    }
    links
}

/// One state for the links of several processes: theirs where it is the same, else something between.
fn together(
    states: impl Iterator<Item = (LinkState, Option<String>)>,
    none: impl FnOnce() -> String,
) -> (LinkState, Option<String>) {
    let all: Vec<_> = states.collect();
    let worst = all.iter().max_by_key(|(state, _)| *state);
    let best = all.iter().map(|(state, _)| *state).min();
    match (worst, best) {
        (Some((worst, detail)), Some(best)) if *worst == best => (best, detail.clone()),
        (Some((_, detail)), _) => (LinkState::Degraded, detail.clone()),
        (None, _) => (LinkState::Down, Some(none())),
    }
}

fn unreachable_reason(service: &Service) -> String {
    format!("{} does not answer", service.name)
}

fn actors(process: &Process) -> &[Value] {
    process.report.get("actors").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn actor<'a>(process: &'a Process, name: &str) -> Option<&'a Value> {
    actors(process).iter().find(|actor| actor["name"] == name)
}

fn tenths(rate: f64) -> f64 {
    (rate * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::console::board::snapshot::{Aside, ProcessState};

    fn process(service: &str, state: ProcessState, actors: Value) -> Process {
        Process {
            service: service.to_owned(),
            address: "127.0.0.1:1".to_owned(),
            state,
            reason: None,
            since: Timestamp::UNIX_EPOCH,
            heard_at: None,
            counts: Aside(Value::Null),
            report: serde_json::Map::from_iter([("actors".to_owned(), actors)]),
        }
    }

    pub fn service(name: &str, state: ProcessState, actors: Value) -> Service {
        Service { name: name.to_owned(), processes: vec![process(name, state, actors)] }
    }

    pub fn find<'a>(links: &'a [Link], from: &str, to: &str) -> &'a Link {
        links.iter().find(|link| link.from == from && link.to == to).expect("there is such a link")
    }

    #[test]
    fn several_processes_make_one_link() {
        let up = || (LinkState::Up, None);
        let down = || (LinkState::Down, Some("no answer".to_owned()));
        let none = || "nowhere".to_owned();

        assert_eq!(together([up(), up()].into_iter(), none), up());
        assert_eq!(
            together([up(), down()].into_iter(), none),
            (LinkState::Degraded, Some("no answer".to_owned()))
        );
        assert_eq!(together([down(), down()].into_iter(), none), down());
        assert_eq!(together([].into_iter(), none), (LinkState::Down, Some("nowhere".to_owned())));
    }
}
