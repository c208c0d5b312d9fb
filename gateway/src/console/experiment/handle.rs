use std::{collections::BTreeSet, fmt, sync::Arc, time::Duration};

use common::supervision::{AskError, Handle};
use serde::Serialize;
use serde_json::Value;

use super::{
    BeginExperiment, Breaking, Experiment, Kind, Laboratory, Notebook, Plan, Receipt, plan::SERVICES,
};
use crate::console::{
    Fleet,
    fleet::{Heard, Place},
};

/// How long the laboratory may take to begin.
const BEGIN_DEADLINE: Duration = Duration::from_secs(1);

/// How long a service may take to say what can be broken in it.
const LOOK_DEADLINE: Duration = Duration::from_secs(1);

const ASK_FOR_TOKENS: &str =
    "the orders that are counted are placed without a token: AUTH=open makes that possible";
const NO_FAULTS: &str = "no service answers that allows faults: DEMO_FAULTS=true does, in its environment";
const NO_KEEPER: &str = "nothing is known to start a killed process again: `cargo up` does, and says so";

/// What can be asked of the laboratory, and what is known of its experiments. Cheap to clone.
#[derive(Clone)]
pub struct ExperimentsHandle {
    laboratory: Handle<Laboratory>,
    notebook: Notebook,
    asks_for_tokens: Arc<dyn Fn() -> bool + Send + Sync>,
    note: Arc<dyn Fn(&str) + Send + Sync>,
}

/// One kind of experiment, and whether it can be made just now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Offer {
    /// Which.
    pub kind: Kind,
    /// In words.
    pub title: &'static str,
    /// On which services.
    pub services: Vec<String>,
    /// Whether it can be made.
    pub available: bool,
    /// Why it cannot.
    pub why: Option<&'static str>,
}

impl ExperimentsHandle {
    /// Experiments of `laboratory`, which writes into `notebook`. `asks_for_tokens` says whether an order needs a token just
    /// now; `note` is told what somebody has begun.
    pub fn new(
        laboratory: Handle<Laboratory>,
        notebook: Notebook,
        asks_for_tokens: impl Fn() -> bool + Send + Sync + 'static,
        note: impl Fn(&str) + Send + Sync + 'static,
    ) -> Self {
        Self { laboratory, notebook, asks_for_tokens: Arc::new(asks_for_tokens), note: Arc::new(note) }
    }

    /// The experiment that runs.
    pub fn current(&self) -> Option<Experiment> {
        self.notebook.current()
    }

    /// The last receipts, newest first.
    pub fn receipts(&self) -> Vec<Receipt> {
        self.notebook.receipts()
    }

    /// What can be made, as the services of `fleet` say just now.
    pub async fn offers(&self, fleet: &Fleet) -> Vec<Offer> {
        self.offered(&fleet.get_all("/actors", LOOK_DEADLINE).await)
    }

    fn offered(&self, heard: &[(Place, Heard)]) -> Vec<Offer> {
        let said = |service: &str, is_so: &dyn Fn(&Value) -> bool| reports(heard, service).any(is_so);
        let those = |is_so: &dyn Fn(&Value) -> bool| -> Vec<String> {
            SERVICES.into_iter().filter(|service| said(service, is_so)).map(str::to_owned).collect()
        };
        let faulty = those(&|said| said["faults"] == true);
        let kept = those(&|said| said["faults"] == true && said["keeper"].is_string());
        let asks_for_tokens = (self.asks_for_tokens)();
        let offer = |kind: Kind| {
            let services = match kind {
                Kind::PlaceOrders => Vec::new(),
                Kind::KillProcess => kept.clone(),
                _ => faulty.clone(),
            };
            let why = match kind {
                _ if asks_for_tokens => Some(ASK_FOR_TOKENS),
                Kind::PlaceOrders => None,
                _ if faulty.is_empty() => Some(NO_FAULTS),
                Kind::KillProcess if kept.is_empty() => Some(NO_KEEPER),
                _ => None,
            };
            Offer { kind, title: kind.title(), services, available: why.is_none(), why }
        };
        Kind::ALL.into_iter().map(offer).collect()
    }

    /// Begins an experiment, where it is offered and no other one runs.
    ///
    /// # Errors
    /// Says why it was not begun.
    pub async fn begin(&self, plan: Plan, fleet: &Fleet) -> Result<Experiment, NotBegun> {
        if self.current().is_some() {
            return Err(NotBegun::Running);
        }
        let heard = fleet.get_all("/actors", LOOK_DEADLINE).await;
        let offer = self.offered(&heard).into_iter().find(|offer| offer.kind == plan.kind());
        if let Some(Offer { services, why, .. }) = offer {
            if let Some(why) = why {
                return Err(NotBegun::Unavailable(why.to_owned()));
            }
            if let Plan::Break(breaking) = &plan
                && !services.contains(&breaking.service)
            {
                let said = reports(&heard, &breaking.service).next().is_some();
                let refuses = if said { "does not allow this" } else { "does not answer" };
                return Err(NotBegun::Unavailable(format!(
                    "{} {refuses}; it is possible on {}",
                    breaking.service,
                    services.join(", ")
                )));
            }
        }
        if let Plan::Break(breaking) = &plan {
            let known: BTreeSet<&str> = reports(&heard, &breaking.service)
                .flat_map(|report| report["actors"].as_array().into_iter().flatten())
                .filter_map(|actor| actor["name"].as_str())
                .collect();
            if !known.contains(breaking.actor.as_str()) {
                let known = known.into_iter().collect::<Vec<_>>().join(", ");
                let Breaking { service, actor, .. } = breaking;
                return Err(NotBegun::NoSuchActor(format!(
                    "actor must be one of those of {service}, {known}, not {actor:?}"
                )));
            }
        }
        let begun = self.laboratory.ask(BeginExperiment(plan), BEGIN_DEADLINE).await;
        let experiment = begun.map_err(NotBegun::Laboratory)?.ok_or(NotBegun::Running)?;
        (self.note)(&format!("experiment {}: {}", experiment.number, experiment.title));
        Ok(experiment)
    }
}

/// What the processes of a service have said.
fn reports<'a>(heard: &'a [(Place, Heard)], service: &str) -> impl Iterator<Item = &'a Value> {
    heard.iter().filter_map(move |(place, heard)| match heard {
        Heard::Said(said) if place.service == service => Some(said),
        _ => None,
    })
}

/// Why an experiment was not begun.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotBegun {
    /// Another one runs.
    Running,
    /// It cannot be made just now, and why.
    Unavailable(String),
    /// The service has no such actor; says which it has.
    NoSuchActor(String),
    /// The laboratory did not answer.
    Laboratory(AskError),
}

impl fmt::Display for NotBegun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Running => f.write_str(
                "another experiment runs: one at a time, or nobody could tell whose orders are lost",
            ),
            Self::Unavailable(why) | Self::NoSuchActor(why) => f.write_str(why),
            Self::Laboratory(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NotBegun {}
