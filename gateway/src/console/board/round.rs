use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use common::{
    http::{Probes, ProcessReport, ReadinessStatus, Totals},
    supervision::Supervisor,
};
use futures_util::future::join;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{
    links,
    processes::Processes,
    rates::Rates,
    snapshot::{DeadLetters, Picture, Process, ProcessState, Service},
};
use crate::{
    console::{DeadLetterDesk, Fleet, experiment::ExperimentsHandle},
    upstream::Health,
};

/// How long a process may take to answer before it counts as silent.
const DEADLINE: Duration = Duration::from_millis(400);

/// What the gateway knows of itself.
#[derive(Clone)]
pub struct Own {
    /// Its actors.
    pub supervisor: Supervisor,
    /// Its readiness.
    pub probes: Probes,
    /// Where its public port is.
    pub address: String,
    /// Whether faults may be injected.
    pub faults: bool,
    /// How many dead letters wait.
    pub dead_letters: DeadLetterDesk,
    /// The experiments on it, where they are possible.
    pub experiments: Option<ExperimentsHandle>,
}

/// Asks everybody once, and remembers what the next time needs.
pub struct Round {
    fleet: Fleet,
    own: Own,
    processes: Processes,
    rates: Rates,
    broker: Option<String>,
}

impl Round {
    /// Asks the processes of `fleet`, and the gateway itself.
    pub fn new(fleet: Fleet, own: Own) -> Self {
        Self { fleet, own, processes: Processes::default(), rates: Rates::default(), broker: None }
    }

    /// Makes a picture of what all say now.
    pub async fn look(&mut self) -> Picture {
        let asked = self.fleet.get_all("/actors", DEADLINE);
        // What the public port has answered is counted by its workers, and added below.
        let none = Totals { requests: 0, failures: 0 };
        let own = ProcessReport::of("gateway", &self.own.supervisor, none, self.own.faults, DEADLINE);
        let (heard, own) = join(asked, own).await;
        let (now, at) = (Instant::now(), Timestamp::now());

        let mut own = match serde_json::to_value(own) {
            Ok(Value::Object(report)) => report,
            _ => Map::new(),
        };
        let counts = answered(&own);
        own.insert("counts".to_owned(), counts);
        let readiness = self.own.probes.readiness();
        let state = match readiness.status {
            ReadinessStatus::Ready => ProcessState::Ready,
            ReadinessStatus::Degraded => ProcessState::Degraded,
            ReadinessStatus::Unready => ProcessState::Unready,
        };
        let reason = (!readiness.reasons.is_empty()).then(|| readiness.reasons.join(", "));
        let place = ("gateway", self.own.address.as_str());
        let gateway = self.processes.note(place, (state, reason), Some(own), at);

        let upstreams = self.fleet.upstreams().all();
        let mut services: Vec<Service> = upstreams
            .iter()
            .map(|upstream| Service { name: upstream.name().to_owned(), processes: Vec::new() })
            .collect();
        for (place, heard) in heard {
            // Gone from the settings since it was asked.
            let Some(service) = services.iter_mut().find(|service| service.name == place.service) else {
                continue;
            };
            let endpoints = upstreams.iter().filter(|upstream| upstream.name() == place.service);
            let health = endpoints.flat_map(|upstream| upstream.endpoints().to_vec());
            let health = health.filter(|endpoint| endpoint.address().to_string() == place.address);
            let health = health.map(|endpoint| endpoint.health()).next().unwrap_or(Health::Unknown);
            let process = self.processes.heard((&place.service, &place.address), heard, &health, at);
            service.processes.push(process);
        }
        self.processes.keep(|service, address| {
            let mut shown = services.iter().flat_map(|service| &service.processes).chain([&gateway]);
            shown.any(|process| process.service == service && process.address == address)
        });

        let mut all = links::of_gateway(&upstreams, &services, &mut self.rates, now);
        all.extend(links::of_services(&services, &mut self.rates, now));
        self.rates.tidy(now);
        Picture {
            broker: links::broker(&services, &mut self.broker),
            links: all,
            dead_letters: self.own.dead_letters.waiting().map(DeadLetters::from),
            incidents: incidents(services.iter().flat_map(|service| &service.processes).chain([&gateway])),
            faults: self.own.faults,
            gateway,
            services,
            experiment: self.own.experiments.as_ref().and_then(ExperimentsHandle::current),
        }
    }
}

/// What all workers of the public port have answered, by what their actors say.
fn answered(report: &Map<String, Value>) -> Value {
    let actors = report.get("actors").and_then(Value::as_array);
    let sum = |field: &str| {
        let counted = actors.into_iter().flatten().filter_map(|actor| actor["observed"][field].as_u64());
        counted.sum::<u64>()
    };
    json!({ "requests": sum("answered") + sum("refused"), "failures": sum("failed") })
}

/// The number of each service's last incident.
fn incidents<'a>(processes: impl Iterator<Item = &'a Process>) -> BTreeMap<String, u64> {
    let mut incidents = BTreeMap::new();
    for process in processes {
        if let Some(last) = process.report.get("lastIncident").and_then(Value::as_u64) {
            let known = incidents.entry(process.service.clone()).or_insert(last);
            *known = last.max(*known);
        }
    }
    incidents
}
