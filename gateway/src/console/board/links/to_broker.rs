use std::time::Instant;

use serde_json::Value;

use super::{actor, tenths, together, unreachable_reason};
use crate::console::board::{
    rates::Rates,
    snapshot::{Broker, BrokerState, Link, LinkState, Process, ProcessState, Service},
};

/// How the broker is called among the ends of links, and the actor that has the link.
const BROKER: &str = "broker";

/// A service's links there and back; none where it has nothing to do with the broker.
pub fn of(service: &Service, rates: &mut Rates, now: Instant) -> Vec<Link> {
    let states: Vec<_> = service.processes.iter().filter_map(broker_link).collect();
    if states.is_empty() {
        return Vec::new();
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
    vec![there, back]
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::{
        super::{
            of_services,
            tests::{find, service},
        },
        *,
    };

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
}
