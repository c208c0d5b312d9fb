use actix::{Actor, ActorFutureExt, AsyncContext, Context, Handler, Message, MessageResult, WrapFuture};
use common::supervision::Observe;
use serde::Serialize;

use super::{Experiment, Notebook, Plan, Site, course};

/// The actor; one a gateway, and only where faults are allowed.
pub struct Laboratory {
    site: Site,
    notebook: Notebook,
    done: u64,
}

/// Begins an experiment; replies with what is begun, or `None` while another one runs.
#[derive(Clone, Debug, Message)]
#[rtype(result = "Option<Experiment>")]
pub struct BeginExperiment(pub Plan);

impl Laboratory {
    /// The actor's name.
    pub const NAME: &'static str = "laboratory";

    /// Experiments on `site` and writes into `notebook` what comes of it.
    pub fn new(site: Site, notebook: Notebook) -> Self {
        Self { site, notebook, done: 0 }
    }
}

impl Actor for Laboratory {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        self.notebook.give_up("the laboratory ended in the middle of it; nothing was audited");
    }
}

impl Handler<BeginExperiment> for Laboratory {
    type Result = MessageResult<BeginExperiment>;

    fn handle(
        &mut self,
        BeginExperiment(plan): BeginExperiment,
        context: &mut Self::Context,
    ) -> Self::Result {
        let Some(experiment) = self.notebook.begin(&plan) else { return MessageResult(None) };
        log::warn!("event=experiment_begun number={} what={:?}", experiment.number, experiment.title);
        let course = course::run(experiment.clone(), plan, self.site.clone(), self.notebook.clone());
        context.spawn(course.into_actor(self).map(|receipt, laboratory, _| {
            log::info!(
                "event=experiment_ended number={} verdict={:?} accepted={} lost={} doubled={}",
                receipt.number,
                receipt.verdict.to_string(),
                receipt.accepted,
                known(receipt.lost),
                known(receipt.doubled)
            );
            laboratory.done += 1;
            laboratory.notebook.end(receipt);
        }));
        MessageResult(Some(experiment))
    }
}

/// A count, or that it could not be found out.
fn known(count: Option<u64>) -> String {
    count.map_or_else(|| "unknown".to_owned(), |count| count.to_string())
}

/// What the laboratory shows of itself.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct LaboratoryState {
    running: Option<u64>,
    done: u64,
}

impl Handler<Observe> for Laboratory {
    type Result = MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let running = self.notebook.current().map(|experiment| experiment.number);
        Observe::answer::<Self>(&LaboratoryState { running, done: self.done })
    }
}
