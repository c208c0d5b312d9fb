use std::time::Instant;

use super::{actors, tenths, unreachable_reason};
use crate::console::board::{
    rates::Rates,
    snapshot::{Link, LinkState, ProcessState, Service},
};

/// The links of a service's actors that ask other services: those that say whom (`asks`), and how often (`asked`).
pub fn of(service: &Service, services: &[Service], rates: &mut Rates, now: Instant) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    for process in &service.processes {
        for asking in actors(process).iter().filter(|actor| actor["observed"]["asks"].is_string()) {
            let observed = &asking["observed"];
            let to = observed["asks"].as_str().unwrap_or_default();
            let asked = services.iter().find(|service| service.name == to);
            let all_silent = asked.is_some_and(|service| {
                service.processes.iter().all(|process| process.state == ProcessState::Silent)
            });
            let (state, detail) = match (process.state, observed["breaker"].as_str()) {
                (ProcessState::Silent, _) => (LinkState::Down, Some(unreachable_reason(service))),
                _ if all_silent => (LinkState::Down, Some(format!("{to} does not answer"))),
                (_, Some("open")) => {
                    (LinkState::Down, Some("questions fail, so none is asked for a while".to_owned()))
                }
                (_, Some("half-open")) => {
                    (LinkState::Degraded, Some("questions failed; one finds out".to_owned()))
                }
                _ => (LinkState::Up, None),
            };
            let count = observed["asked"].as_u64().unwrap_or(0);
            let rate = match process.state {
                ProcessState::Silent => 0.0,
                _ => rates.of(format!("{} {} to {to}", service.name, process.address), count, now),
            };
            match links.iter_mut().find(|link| link.to == to) {
                Some(link) => {
                    link.rate = tenths(link.rate + rate);
                    if link.state != state {
                        (link.state, link.detail) = (LinkState::Degraded, link.detail.take().or(detail));
                    }
                }
                None => {
                    links.push(Link { from: service.name.clone(), to: to.to_owned(), state, rate, detail })
                }
            }
        }
    }
    links
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{
        super::{
            of_services,
            tests::{find, service},
        },
        *,
    };

    #[test]
    fn an_actor_that_says_whom_it_asks_is_a_link() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let asking = |breaker| json!([{ "name": "x", "status": "running", "observed": { "asks": "users", "asked": 3, "breaker": breaker } }]);
        let mut link = |breaker, users| {
            let services =
                [service("orders", ProcessState::Ready, asking(breaker)), service("users", users, json!([]))];
            find(&of_services(&services, &mut rates, now), "orders", "users").state
        };

        assert_eq!(link("closed", ProcessState::Ready), LinkState::Up);
        assert_eq!(link("half-open", ProcessState::Ready), LinkState::Degraded);
        assert_eq!(link("open", ProcessState::Ready), LinkState::Down);
        assert_eq!(link("closed", ProcessState::Silent), LinkState::Down);
    }
}
