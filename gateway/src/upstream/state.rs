//! What an upstream shows of itself.

use std::{net::SocketAddr, sync::Arc, time::Instant};

use common::http::Condition;
use serde::Serialize;

use super::{Endpoint, Health, Upstream, breaker::Gate};

/// What is shown of an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamState {
    /// Its name.
    pub name: String,
    /// How many requests are on their way to it.
    pub in_flight: usize,
    /// Every place where it listens.
    pub endpoints: Vec<EndpointState>,
    /// Which of its names lead nowhere.
    pub trouble: Vec<String>,
}

/// What is shown of an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EndpointState {
    /// Where it listens.
    pub address: SocketAddr,
    /// Host and port as in the settings.
    pub authority: String,
    /// What was heard last.
    pub health: Health,
    /// `closed`, `open` or `half-open`.
    pub breaker: &'static str,
    /// How many requests are on their way to it.
    pub in_flight: u64,
    /// Its share in percent of a full one.
    pub weight: u64,
}

impl Upstream {
    /// What the gateway's own readiness says of it: ready where at least one endpoint is, else what is missing.
    /// Never unready: the gateway serves what it can.
    pub fn condition(&self) -> Condition {
        let endpoints = self.endpoints.load();
        let mut missing: Vec<String> = Vec::new();
        for endpoint in endpoints.iter() {
            let ejected = !matches!(endpoint.gate(), Gate::Closed { .. });
            let reason = match endpoint.health() {
                Health::Ready if !ejected => return Condition::Ready,
                Health::Ready => "requests fail".to_owned(),
                Health::Unknown => "not asked yet".to_owned(),
                Health::Degraded(reason) | Health::Unready(reason) => reason,
            };
            missing.push(match endpoints.len() {
                1 => reason,
                _ => format!("{}: {reason}", endpoint.address()),
            });
        }
        missing.extend(self.unresolved());
        if missing.is_empty() {
            missing.push("its address is not known yet".to_owned());
        }
        Condition::Degraded(missing.join(", "))
    }

    /// What is shown of it.
    pub fn observe(&self, now: Instant) -> UpstreamState {
        let settings = self.settings.load();
        let state = |endpoint: &Arc<Endpoint>| EndpointState {
            address: endpoint.address(),
            authority: endpoint.authority().to_owned(),
            health: endpoint.health(),
            breaker: match endpoint.gate() {
                Gate::Closed { .. } => "closed",
                Gate::Open { until } if now < until => "open",
                Gate::Open { .. } | Gate::Probing => "half-open",
            },
            in_flight: endpoint.in_flight(),
            weight: endpoint.weight(settings.breaker.slow_return, now),
        };
        UpstreamState {
            name: self.name.clone(),
            in_flight: self.in_flight(),
            endpoints: self.endpoints.load().iter().map(state).collect(),
            trouble: self.unresolved(),
        }
    }

    /// Shows how many endpoints are in which state.
    pub(super) fn count_endpoints(&self) {
        let mut counts = [0; 5];
        for endpoint in self.endpoints.load().iter() {
            let state = match (endpoint.gate(), endpoint.health()) {
                (Gate::Open { .. } | Gate::Probing, _) => 4,
                (_, Health::Unknown) => 0,
                (_, Health::Ready) => 1,
                (_, Health::Degraded(_)) => 2,
                (_, Health::Unready(_)) => 3,
            };
            counts[state] += 1;
        }
        for (gauge, count) in self.metrics.endpoints.iter().zip(counts) {
            gauge.set(count);
        }
    }
}
