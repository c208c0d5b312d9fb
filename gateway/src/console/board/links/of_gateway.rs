use std::{sync::Arc, time::Instant};

use super::{tenths, together};
use crate::{
    console::board::{
        rates::Rates,
        snapshot::{Link, LinkState, Process, ProcessState, Service},
    },
    upstream::{Health, Upstream},
};

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
