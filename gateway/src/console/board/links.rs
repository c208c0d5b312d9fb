//! Who talks to whom, as far as they say so themselves.

use std::{sync::Arc, time::Instant};

use serde_json::Value;

use super::{
    rates::Rates,
    snapshot::{Broker, BrokerState, Link, LinkState, Process, ProcessState, Service},
};
use crate::upstream::{Health, Upstream};

/// How the broker is called among the ends of links.
const BROKER: &str = "broker";

/// The gateway's links, one to each service.
pub fn of_gateway(
    upstreams: &[Arc<Upstream>],
    services: &[Service],
    rates: &mut Rates,
    now: Instant,
) -> Vec<Link> {
    let link = |upstream: &Arc<Upstream>| {
        let observed = upstream.observe(now);
        let processes =
            services.iter().find(|service| service.name == observed.name).map(|service| &service.processes);
        let states = observed.endpoints.iter().map(|endpoint| {
            let address = endpoint.address.to_string();
            let process = processes.and_then(|all| all.iter().find(|process| process.address == address));
            match (process, endpoint.breaker, &endpoint.health) {
                (Some(Process { state: ProcessState::Silent, reason, .. }), ..) => {
                    (LinkState::Down, reason.clone())
                }
                (_, "open", _) => {
                    (LinkState::Down, Some("breaker opened: too many requests failed".to_owned()))
                }
                (_, "half-open", _) => {
                    (LinkState::Degraded, Some("requests failed; one finds out".to_owned()))
                }
                (_, _, Health::Unready(reason)) => {
                    (LinkState::Degraded, Some(format!("not ready, left alone: {reason}")))
                }
                _ => (LinkState::Up, None),
            }
        });
        let (state, detail) = together(states, || match observed.trouble.is_empty() {
            true => "its address is not known yet".to_owned(),
            false => observed.trouble.join(", "),
        });
        // Endpoints come and go; what each was asked is counted by itself.
        let rate = upstream
            .endpoints()
            .iter()
            .map(|endpoint| rates.of(format!("gateway to {:?}", endpoint.id()), endpoint.asked(), now))
            .sum();
        let rate = tenths(rate);
        Link { from: "gateway".to_owned(), to: observed.name.clone(), state, rate, detail }
    };
    upstreams.iter().map(link).collect()
}

/// The links of the services: among each other, and with the broker.
pub fn of_services(services: &[Service], rates: &mut Rates, now: Instant) -> Vec<Link> {
    let mut links = Vec::new();
    for service in services {
        links.extend(questions(service, services, rates, now));
        let states: Vec<_> = service.processes.iter().filter_map(broker_link).collect();
        if states.is_empty() {
            continue;
        }
        let (state, detail) = together(states.into_iter(), || unreachable_reason(service));
        let mut rate = |what: &str, count: fn(&Process) -> u64| {
            let heard = service.processes.iter().filter(|process| process.state != ProcessState::Silent);
            let rates = heard.map(|process| {
                rates.of(format!("{} {} {what}", service.name, process.address), count(process), now)
            });
            tenths(rates.sum())
        };
        let (name, broker) = (service.name.clone(), BROKER.to_owned());
        let (published, delivered) = (rate("published", published), rate("delivered", delivered));
        let there = Link { from: name, to: broker, state, rate: published, detail: detail.clone() };
        let back = Link { from: there.to.clone(), to: there.from.clone(), state, rate: delivered, detail };
        links.extend([there, back]);
    }
    links
}

/// The broker, as those say who are connected to it; `known` is what it was called before.
pub fn broker(services: &[Service], known: &mut Option<String>) -> Broker {
    let heard = services.iter().flat_map(|service| &service.processes);
    let heard = heard.filter(|process| process.state != ProcessState::Silent);
    let actors: Vec<&Value> = heard.filter_map(|process| actor(process, BROKER)).collect();
    let links: Vec<&str> = actors.iter().map(|actor| link_status(actor)).collect();
    let state = match () {
        () if actors.is_empty() => BrokerState::Unknown,
        () if links.contains(&"blocked") => BrokerState::Blocked,
        () if links.contains(&"connected") => BrokerState::Connected,
        () => BrokerState::Away,
    };
    let connected = actors.iter().find(|actor| matches!(link_status(actor), "connected" | "blocked"));
    if let Some(name) = connected.and_then(|actor| actor["observed"]["broker"].as_str()) {
        *known = Some(name.to_owned());
    }
    Broker { state, name: known.clone() }
}

/// The links of a service's actors that ask other services: those that say whom (`asks`), and how often (`asked`).
fn questions(service: &Service, services: &[Service], rates: &mut Rates, now: Instant) -> Vec<Link> {
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

/// How the link of one process with the broker is; `None` where it has none.
fn broker_link(process: &Process) -> Option<(LinkState, Option<String>)> {
    let actor = actor(process, BROKER)?;
    if process.state == ProcessState::Silent {
        return Some((LinkState::Down, Some(format!("{} does not answer", process.service))));
    }
    Some(match link_status(actor) {
        "connected" => (LinkState::Up, None),
        "blocked" => (LinkState::Degraded, Some("the broker takes no messages".to_owned())),
        _ => {
            let cause = &actor["lastCause"];
            let why = cause["message"].as_str().or(cause["kind"].as_str()).unwrap_or("connecting");
            (LinkState::Down, Some(why.to_owned()))
        }
    })
}

/// What the broker's actor says of its link; nothing where it has no living generation.
fn link_status(actor: &Value) -> &str {
    match actor["status"].as_str() {
        // A generation that connects lives, and is not running yet.
        Some("running" | "starting") => actor["observed"]["link"].as_str().unwrap_or_default(),
        _ => "",
    }
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

fn published(process: &Process) -> u64 {
    actor(process, "relay").and_then(|relay| relay["observed"]["sent"].as_u64()).unwrap_or(0)
}

fn delivered(process: &Process) -> u64 {
    let consumers = actor(process, BROKER).and_then(|broker| broker["observed"]["consumers"].as_array());
    let answered = |consumer: &Value| {
        ["acked", "retried", "dead"].iter().filter_map(|kind| consumer[*kind].as_u64()).sum::<u64>()
    };
    consumers.into_iter().flatten().map(answered).sum()
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
    use std::time::Duration;

    use jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::console::board::snapshot::Aside;

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

    fn service(name: &str, state: ProcessState, actors: Value) -> Service {
        Service { name: name.to_owned(), processes: vec![process(name, state, actors)] }
    }

    fn linked(sent: u64, acked: u64) -> Value {
        json!([
            { "name": "broker", "status": "running", "observed": {
                "link": "connected", "broker": "127.0.0.1:5672/ (RabbitMQ)", "consumers": [{ "acked": acked, "dead": 1 }] } },
            { "name": "relay", "status": "running", "observed": { "sent": sent } },
        ])
    }

    fn restarting() -> Value {
        json!([{ "name": "broker", "status": "restarting", "observed": null,
            "lastCause": { "kind": "lost", "message": "connection reset" } }])
    }

    fn find<'a>(links: &'a [Link], from: &str, to: &str) -> &'a Link {
        links.iter().find(|link| link.from == from && link.to == to).expect("there is such a link")
    }

    #[test]
    fn a_broker_link_is_down_while_its_actor_restarts_and_says_why() {
        let mut known = None;
        let (mut rates, now) = (Rates::default(), Instant::now());
        broker(&[service("orders", ProcessState::Ready, linked(0, 0))], &mut known);

        let services = [service("orders", ProcessState::Degraded, restarting())];

        let links = of_services(&services, &mut rates, now);
        for (from, to) in [("orders", "broker"), ("broker", "orders")] {
            let link = find(&links, from, to);
            assert_eq!((link.state, link.detail.as_deref()), (LinkState::Down, Some("connection reset")));
        }
        let away = broker(&services, &mut known);
        assert_eq!(
            (away.state, away.name.as_deref()),
            (BrokerState::Away, Some("127.0.0.1:5672/ (RabbitMQ)"))
        );
    }

    #[test]
    fn rates_are_those_of_published_and_delivered_events() {
        let (mut rates, now) = (Rates::default(), Instant::now());
        let ready = |sent, acked| [service("orders", ProcessState::Ready, linked(sent, acked))];

        of_services(&ready(10, 5), &mut rates, now);
        let links = of_services(&ready(60, 6), &mut rates, now + Duration::from_millis(500));

        assert_eq!(find(&links, "orders", "broker").rate, 100.0);
        assert_eq!(find(&links, "broker", "orders").rate, 2.0);
        assert_eq!(find(&links, "orders", "broker").state, LinkState::Up);
    }

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

    #[test]
    fn nobody_knows_of_a_broker_while_nobody_answers() {
        let services = [service("orders", ProcessState::Silent, linked(1, 1))];

        assert_eq!(broker(&services, &mut None).state, BrokerState::Unknown);
        let links = of_services(&services, &mut Rates::default(), Instant::now());
        assert_eq!(find(&links, "orders", "broker").state, LinkState::Down);
    }

    #[test]
    fn a_blocked_link_works_in_part() {
        let mut actors = linked(0, 0);
        actors[0]["observed"]["link"] = json!("blocked");
        let services = [service("orders", ProcessState::Ready, actors)];

        assert_eq!(broker(&services, &mut None).state, BrokerState::Blocked);
        let links = of_services(&services, &mut Rates::default(), Instant::now());
        assert_eq!(find(&links, "orders", "broker").state, LinkState::Degraded);
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
