use std::{
    rc::Rc,
    time::{Duration, Instant},
};

use actix::{Actor, AsyncContext, Context, Handler};
use common::supervision::Observe;
use serde::Serialize;

use super::{lines::Lines, worker::Worker};

/// How often connections to the services are looked through for such that nobody uses.
const SWEEP: Duration = Duration::from_secs(5);

/// Owns one worker's connections to the services, and lends them to the exchanges of that worker.
pub struct ProxyActor {
    worker: Rc<Worker>,
    lines: Rc<Lines>,
}

impl ProxyActor {
    /// Starts without a connection.
    pub fn new(worker: Rc<Worker>) -> Self {
        Self { worker, lines: Rc::default() }
    }
}

impl Actor for ProxyActor {
    type Context = Context<Self>;

    fn started(&mut self, context: &mut Self::Context) {
        self.worker.lend(Some(self.lines.clone()));
        context.run_interval(SWEEP, |actor, _| actor.lines.sweep(Instant::now()));
    }
}

impl Drop for ProxyActor {
    fn drop(&mut self) {
        // What is on its way goes on with the connection that it has.
        self.worker.lend(None);
        self.lines.close();
    }
}

/// What [`ProxyActor`] shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProxyState {
    /// Connections of clients.
    pub connections: u64,
    /// Requests whose answer is not complete.
    pub in_progress: u64,
    /// Requests that got a service's answer.
    pub answered: u64,
    /// Requests that the gateway refused.
    pub refused: u64,
    /// Requests whose answer has a status from 500, whoever gave it.
    pub failed: u64,
    /// Requests whose client left before they were answered.
    pub abandoned: u64,
    /// Connections to services without a request.
    pub idle_lines: usize,
}

impl Handler<Observe> for ProxyActor {
    type Result = actix::MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        let counts = &self.worker.counts;
        Observe::answer::<Self>(&ProxyState {
            connections: counts.connections.get(),
            in_progress: counts.in_progress.get(),
            answered: counts.answered.get(),
            refused: counts.refused.get(),
            failed: counts.failed.get(),
            abandoned: counts.abandoned.get(),
            idle_lines: self.lines.count(),
        })
    }
}
