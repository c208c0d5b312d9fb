use std::{cell::Cell, rc::Rc, time::Duration};

use actix::{Actor, Context, Handler};
use common::supervision::Observe;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use serde::Serialize;

use super::{ProxyConfig, RequestBody};

/// How long a connection is kept without a request; the services keep theirs for longer (75 s), so that no
/// request meets one that is just being closed.
const IDLE: Duration = Duration::from_secs(30);

/// How many connections without a request are kept for one service.
const IDLE_MOST: usize = 256;

/// Owns one worker's connections to the services.
pub struct ProxyActor {
    pub(super) client: Client<HttpConnector, RequestBody>,
    pub(super) counts: Rc<Counts>,
}

/// What the exchanges of one generation have come to.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) waiting: Cell<u64>,
    pub(super) answered: Cell<u64>,
    pub(super) failed: Cell<u64>,
    pub(super) abandoned: Cell<u64>,
}

impl ProxyActor {
    /// Starts without a connection.
    pub fn new(config: &ProxyConfig) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(config.connect));
        // A request that met a connection which the service had closed before a byte of it was written is
        // written to another one; hyper gives back exactly those and no others.
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(IDLE_MOST)
            .retry_canceled_requests(true)
            .build(connector);
        Self { client, counts: Rc::default() }
    }
}

impl Actor for ProxyActor {
    type Context = Context<Self>;
}

/// What [`ProxyActor`] shows of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ProxyState {
    /// Requests whose answer has not begun.
    pub waiting: u64,
    /// Requests that were answered.
    pub answered: u64,
    /// Requests that got no answer.
    pub failed: u64,
    /// Requests whose client left, or whose time was over, before the answer began.
    pub abandoned: u64,
}

impl Handler<Observe> for ProxyActor {
    type Result = actix::MessageResult<Observe>;

    fn handle(&mut self, _: Observe, _: &mut Self::Context) -> Self::Result {
        Observe::answer::<Self>(&ProxyState {
            waiting: self.counts.waiting.get(),
            answered: self.counts.answered.get(),
            failed: self.counts.failed.get(),
            abandoned: self.counts.abandoned.get(),
        })
    }
}
